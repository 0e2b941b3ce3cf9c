-- Returns which of a handler's events have a failure record. Writes nothing.
--
-- KEYS: failures   ARGV: handler, event ids
local found = {}
for i = 2, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[1] .. ':' .. ARGV[i]) == 1 then found[#found + 1] = ARGV[i] end
end
return found
