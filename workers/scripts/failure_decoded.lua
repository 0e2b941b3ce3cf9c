-- A body that could not be decoded now can: the record goes, and the event is deduplicated and routed as if it were new. Its bytes
-- travel in the claim checks, since the inbox may have let go of them.
--
-- KEYS: failures, retries, in-flight, counters, seen key, then the todo stream of each handler it goes to
-- ARGV: field, event id, seen_ms, provider, body, then the handlers' names
-- Returns: 1 if there was a record
local gone = redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if gone == 0 then return 0 end
redis.call('HINCRBY', KEYS[4], 'undecodable', -1)
local first = redis.call('SET', KEYS[5], ARGV[2], 'NX', 'GET', 'PX', ARGV[3])
if first and first ~= ARGV[2] then
  redis.call('HINCRBY', KEYS[4], 'duplicate', 1)
  return 1
end
redis.call('HINCRBY', KEYS[4], 'routed', 1)
for i = 6, #KEYS do
  redis.call('XADD', KEYS[i], '*', 'e', ARGV[2], 'p', ARGV[4], 'b', ARGV[5])
  redis.call('HINCRBY', KEYS[4], 'routed:' .. ARGV[i], 1)
end
return 1
