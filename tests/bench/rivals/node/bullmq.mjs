// Fastify and BullMQ: `serve PORT`, `work` (one worker process), `enqueue FILE` (each line a job).
import { readFileSync } from "node:fs";
import { Queue, Worker } from "bullmq";
import Fastify from "fastify";
import pg from "pg";

const broker = new URL(process.env.BENCH_BROKER_URL);
const connection = { host: broker.hostname, port: Number(broker.port), maxRetriesPerRequest: null };
const options = { removeOnComplete: true, removeOnFail: true };
const [, , command, argument] = process.argv;

async function serve(port) {
  const queue = new Queue("events", { connection, defaultJobOptions: options });
  const app = Fastify({ bodyLimit: 1 << 20 });
  // As text: an event_id is above 2^53, which JSON.parse would round
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_, body, done) => done(null, body));
  app.post("/webhook", async (request) => {
    await queue.add("event", request.body);
    return { status: "ok" };
  });
  await app.listen({ host: "127.0.0.1", port });
}

function work() {
  const sql = readFileSync(process.env.BENCH_SQL, "utf8");
  const database = new pg.Pool({ max: 10 });
  const handle = (job) => database.query({ name: "rows", text: sql, values: [job.data] }).then(() => undefined);
  new Worker("events", handle, { connection, concurrency: 50 });
}

async function enqueue(file) {
  const queue = new Queue("events", { connection, defaultJobOptions: options });
  const bodies = readFileSync(file, "utf8").split("\n").filter(Boolean);
  for (let start = 0; start < bodies.length; start += 500) {
    await queue.addBulk(bodies.slice(start, start + 500).map((data) => ({ name: "event", data })));
  }
  await queue.close();
}

await { serve, work, enqueue }[command](command === "serve" ? Number(argument) : argument);
