-- Event names that are not known: a function for the scripts that this file is loaded before. At most 1,000 have a count of
-- their own.
--
-- Returns the commands that store the new counts of names, as `commit` takes them.
local function unrecognised_counts(key, increments)
  local counts, room = {}, nil
  for name, increment in pairs(increments) do
    if redis.call('HEXISTS', key, name) == 0 then
      room = room or 1000 - redis.call('HLEN', key)
      if room <= 0 then name = '(other names)' end
      room = room - 1
    end
    counts[name] = (counts[name] or 0) + increment
  end
  local commands = {}
  for name, count in pairs(counts) do
    local held = tonumber(redis.call('HGET', key, name) or 0)
    commands[#commands + 1] = {'HSET', key, name, string.format('%.0f', held + count)}
  end
  return commands
end
