-- Begins the attempt of a leased failure, unless another has begun under the same lease. The lease then counts from now on; its
-- end gets half a millisecond, which says that the attempt has begun.
--
-- KEYS: in-flight   ARGV: field of the failure, now_ms, lease_ms   Returns: 1 if the caller may make the attempt
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) % 1 ~= 0 then return 0 end
redis.call('ZADD', KEYS[1], 'XX', string.format('%.1f', ARGV[2] + ARGV[3] + 0.5), ARGV[1])
return 1
