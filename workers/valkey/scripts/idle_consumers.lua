-- Removes the consumers of a group that have been idle for a time and have no pending entries. It is one atomic step: a consumer
-- that has just taken entries is never removed, for the entries would be pending no more and nobody would get them.
--
-- KEYS: stream   ARGV: group, idle_ms   Returns: names of the removed consumers
local removed = {}
for _, each in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local about = {}
  for i = 1, #each, 2 do about[each[i]] = each[i + 1] end
  if about.pending == 0 and about.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], about.name)
    removed[#removed + 1] = about.name
  end
end
return removed
