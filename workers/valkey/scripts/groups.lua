-- Creates the missing consumer groups at 0, so that they also read what was appended before. A script may do so when memory is full.
--
-- KEYS: streams   ARGV: group
local function has_group(stream)
  if redis.call('EXISTS', stream) == 0 then return false end
  for _, each in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    for i = 1, #each, 2 do
      if each[i] == 'name' and each[i + 1] == ARGV[1] then return true end
    end
  end
  return false
end

for _, stream in ipairs(KEYS) do
  if not has_group(stream) then redis.call('XGROUP', 'CREATE', stream, ARGV[1], '0', 'MKSTREAM') end
end
return 1
