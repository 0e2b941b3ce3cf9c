-- Takes over entries that have been pending for some time, whoever has them. However many younger entries are before them, they
-- are found. An entry that was deleted meanwhile stays pending, so that whoever acknowledges it counts it once: XCLAIM and
-- XAUTOCLAIM would drop it without an outcome.
--
-- KEYS: stream   ARGV: group, consumer, idle ms, the most entries
-- Returns: for each entry its id, its fields (an empty list if it was deleted), and how often it was delivered, this time included
local group, consumer, idle = ARGV[1], ARGV[2], ARGV[3]
local taken = {}
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], group, 'IDLE', idle, '-', '+', ARGV[4])) do
  local id, fields = pending[1], {}
  if redis.call('XRANGE', KEYS[1], id, id)[1] then
    fields = redis.call('XCLAIM', KEYS[1], group, consumer, idle, id)[1][2]
  end
  taken[#taken + 1] = {id, fields, pending[4] + 1}
end
return taken
