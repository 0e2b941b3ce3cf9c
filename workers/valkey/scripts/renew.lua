-- Renews a consumer's claim on pending entries: they count as not idle, and as delivered no more often. What another consumer has
-- taken over stays with it.
--
-- KEYS: stream   ARGV: group, consumer, first id, last id, the most entries   Returns: how many were renewed
local ids = {}
for i, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[2])) do ids[i] = pending[1] end
local found = #ids
if found > 0 then
  ids[found + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))
end
return found
