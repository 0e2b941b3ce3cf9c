-- Makes claim checks pending again that a consumer took with it: they were delivered, and neither handled nor pending, since the
-- consumer was deleted while it had them. Another consumer then claims them. A claim check is in the stream until it is handled.
--
-- KEYS: todo stream, counters   ARGV: group, consumer that they are given to, how long they have been idle then, in ms
-- Returns: how many they were
commit_finish(KEYS[2])
local delivered
for _, each in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local about = {}
  for i = 1, #each, 2 do about[each[i]] = each[i + 1] end
  if about.name == ARGV[1] then delivered = about['last-delivered-id'] end
end
local count = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', delivered, 'COUNT', 1000)) do
  local id = entry[1]
  if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) == 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'IDLE', ARGV[3], 'FORCE', 'JUSTID')
    count = count + 1
  end
end
return count
