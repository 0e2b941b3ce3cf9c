-- Which failed events are to be tried now. At most `limit` are in flight at once, so that retries never fill the workers' threads;
-- one whose lease is over (its message was lost, its worker killed) is due again.
--
-- KEYS: retries, in-flight   ARGV: now_ms, lease_ms, limit   Returns: fields of the failures hash
local now = ARGV[1]
for _, field in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZREM', KEYS[2], field)
  redis.call('ZADD', KEYS[1], 'NX', now, field)
end
local room = tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[2])
if room <= 0 then return {} end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, room)
for _, field in ipairs(due) do
  redis.call('ZREM', KEYS[1], field)
  redis.call('ZADD', KEYS[2], now + ARGV[2], field)
end
return due
