-- Resolves a failure after a successful retry: removes the record if it is still what the caller read, and counts the event as
-- applied. Repeated calls have no further effect.
--
-- KEYS: failures, retries, in-flight, counters   ARGV: field, the record as read, handler, 1 if it was discarded meanwhile,
-- else 0
-- Returns: 1 if the record was removed, else 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[4], 'failed:' .. ARGV[3], -1)
redis.call('HINCRBY', KEYS[4], 'applied:' .. ARGV[3], 1)
if ARGV[4] == '1' then redis.call('HINCRBY', KEYS[4], 'discarded:' .. ARGV[3], -1) end
return 1
