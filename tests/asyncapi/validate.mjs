// node validate.mjs FILE: prints what the official parser has against an AsyncAPI document, and exits with 1 if it is an error.
import { DiagnosticSeverity, Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
for (const each of diagnostics) console.log(DiagnosticSeverity[each.severity], each.path.join("."), each.message);
const errors = diagnostics.filter((each) => each.severity === DiagnosticSeverity.Error);
console.log(document && !errors.length ? `valid: ${document.messages().length} messages` : "not valid");
process.exitCode = document && !errors.length ? 0 : 1;
