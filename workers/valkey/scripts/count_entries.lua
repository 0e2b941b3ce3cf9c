-- Counts entries of a stream from one id to another, at most 2,000 entries or 4 MB of them in one call. Writes nothing.
--
-- KEYS: stream   ARGV: first id, last id
-- Returns: how many entries were counted, and the id to go on from ('' if none is left)
local from, count, bytes = ARGV[1], 0, 0
while count < 2000 and bytes < 4000000 do
  local page = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', 10)
  if #page == 0 then return {count, ''} end
  for _, entry in ipairs(page) do
    for _, part in ipairs(entry[2]) do bytes = bytes + #part end
  end
  count = count + #page
  from = '(' .. page[#page][1]
end
return {count, from}
