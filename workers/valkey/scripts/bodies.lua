-- Returns the inbox entries of many event ids in one round trip; false for an entry that no longer exists. Writes nothing.
--
-- KEYS: inbox, counters   ARGV: a counter's name, event ids
-- Returns: the entries, then the counter
local entries = {}
for i = 2, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
  entries[i - 1] = found[1] and found[1][2] or false
end
entries[#ARGV] = redis.call('HGET', KEYS[2], ARGV[1])
return entries
