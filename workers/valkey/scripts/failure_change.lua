-- Replaces one failure record, if it is still what the caller read. Of two callers at once, one gets 0 and reads the record
-- again.
--
-- KEYS: failures, retries, in-flight, counters
-- ARGV: field, the record as read, the new record, epoch ms of the next attempt ('' if there is none), change of the count of
--       discarded failures, the field of that count
-- Returns: 1 if the record was replaced, else 0
commit_finish(KEYS[4]) -- it may stop at any command and be called again: see commit.lua
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
commit(KEYS[4], {}, {[ARGV[6]] = tonumber(ARGV[5])}, {
  ARGV[4] == '' and {'ZREM', KEYS[2], ARGV[1]} or {'ZADD', KEYS[2], ARGV[4], ARGV[1]},
  {'ZREM', KEYS[3], ARGV[1]},
  {'HSET', KEYS[1], ARGV[1], ARGV[3]},
})
return 1
