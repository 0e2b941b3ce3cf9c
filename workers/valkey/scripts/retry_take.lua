-- Leases the failures that are due. At most `limit` are in flight at once, so retries never fill the workers' threads. A
-- failure whose lease has ended (its message was lost, or its worker was killed) is due again.
--
-- KEYS: retries, in-flight   ARGV: now_ms, lease_ms, limit   Returns: fields of the failures hash
local now = ARGV[1]
for _, field in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZADD', KEYS[1], 'NX', now, field) -- before it is removed there: the script may stop between the two
  redis.call('ZREM', KEYS[2], field)
end
local capacity = tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[2])
if capacity <= 0 then return {} end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, capacity)
for _, field in ipairs(due) do
  redis.call('ZADD', KEYS[2], now + ARGV[2], field)
  redis.call('ZREM', KEYS[1], field)
end
return due
