-- Reading claim checks: functions for the scripts that this file is loaded before.

-- Whether one stream id is older than another.
local function is_older(id, other)
  local ms, seq = string.match(id, '^(%d+)-?(%d*)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-?(%d*)$')
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return (tonumber(seq) or 0) < (tonumber(other_seq) or 0)
end

-- Calls `each` with the text of event ids of every claim check after an id whose events' bodies are in the inbox, at most
-- `count` claim checks (nil: all). Returns the id of the last claim check; the given id if there is none.
local function read_checks(stream, after, count, each)
  local entries = redis.call('XRANGE', stream, '(' .. after, '+', 'COUNT', count or 1000000)
  for _, entry in ipairs(entries) do
    local fields, events, has_body = entry[2], '', false
    for i = 1, #fields, 2 do
      if fields[i] == 'e' then events = fields[i + 1] end
      if fields[i] == 'b' then has_body = true end
    end
    if events ~= '' then each(events, has_body) end
    after = entry[1]
  end
  return after
end
