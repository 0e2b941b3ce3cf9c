-- Resolves a failure after a successful retry: removes the record if it is still what the caller read, and counts the event as
-- applied. Repeated calls have no further effect. It may stop at any command and be called again: see commit.lua.
--
-- KEYS: failures, retries, in-flight, counters   ARGV: field, the record as read, handler, 1 if it was discarded meanwhile,
-- else 0
-- Returns: 1 if the record was removed, else 0
commit_finish(KEYS[4])
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
commit(KEYS[4], {}, {
  ['failed:' .. ARGV[3]] = -1,
  ['applied:' .. ARGV[3]] = 1,
  ['discarded:' .. ARGV[3]] = ARGV[4] == '1' and -1 or 0,
}, {
  {'ZREM', KEYS[2], ARGV[1]},
  {'ZREM', KEYS[3], ARGV[1]},
  {'HDEL', KEYS[1], ARGV[1]},
})
return 1
