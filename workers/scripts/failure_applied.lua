-- A retry has succeeded: the record goes, and the event counts as applied. Done once, however often it is called.
--
-- KEYS: failures, retries, in-flight, counters   ARGV: field, handler   Returns: 1 if there was a record
local gone = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if gone == 1 then
  redis.call('HINCRBY', KEYS[4], 'failed:' .. ARGV[2], -1)
  redis.call('HINCRBY', KEYS[4], 'applied:' .. ARGV[2], 1)
end
return gone
