-- Changes one record of failure, if it is still what the caller read: so that of two who decide at once one is told to look again.
--
-- KEYS: failures, retries, in-flight, counters
-- ARGV: field, the record as read, the new record, epoch ms at which to try (or '' for not by itself), change of the count of
--       discarded, its field
-- Returns: 1 if changed
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[4] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) end
if ARGV[5] ~= '0' then redis.call('HINCRBY', KEYS[4], ARGV[6], ARGV[5]) end
return 1
