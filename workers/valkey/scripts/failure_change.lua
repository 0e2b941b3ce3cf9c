-- Replaces one failure record, if it is still what the caller read. Of two callers at once, one gets 0 and reads the record
-- again.
--
-- KEYS: failures, retries, in-flight, counters
-- ARGV: field, the record as read, the new record, epoch ms of the next attempt ('' if there is none), change of the count of
--       discarded failures, the field of that count
-- Returns: 1 if the record was replaced, else 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[4] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) end
if ARGV[5] ~= '0' then redis.call('HINCRBY', KEYS[4], ARGV[6], ARGV[5]) end
return 1
