-- Returns the inbox entries of many event ids in one round trip; false for an entry that no longer exists. Writes nothing.
--
-- KEYS: inbox   ARGV: event ids
local entries = {}
for i, id in ipairs(ARGV) do
  local found = redis.call('XRANGE', KEYS[1], id, id)
  entries[i] = found[1] and found[1][2] or false
end
return entries
