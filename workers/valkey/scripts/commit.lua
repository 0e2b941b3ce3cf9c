-- How a script changes Valkey so that it may stop at any command: functions for the scripts that this file is loaded before.
--
-- Valkey does not roll back a script in which a command is refused. So a script first reads and decides, and changes only what
-- may be changed twice. It then writes all that is left to do into a plan, carries the plan out, and deletes it. Every such
-- script first finishes the plan that it finds: nothing is read, counted or acknowledged between a stop and its end.
-- 1. Claim checks are added. Each has the plan's number (`n`), by which those that were added before the stop are found.
-- 2. One command writes all counters and the plan's number (`commits`): either all are counted or none.
-- 3. The other commands follow, of which repetition changes nothing. What acknowledges or resolves comes last.
-- A stop before the plan is written leaves everything to do, and the caller's next attempt does it.
--
-- `counters` is the key of the counters. The keys `unfinished` and `taken-over` have the same prefix.
local commit_time

-- Valkey's clock, in ms: the same at each call of a script.
local function commit_now()
  if not commit_time then
    local time = redis.call('TIME')
    commit_time = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return commit_time
end

local function commit_key(counters, name) return string.sub(counters, 1, -1 - #'counters') .. name end

-- Texts, lists, and lists of words (`words = true`), as one text.
local function commit_encode(parts)
  local out = {}
  for i, part in ipairs(parts) do
    local kind, text = 's', part
    if type(part) == 'table' then
      kind, text = part.words and 'w' or 't', part.words and table.concat(part, ' ') or commit_encode(part)
    end
    out[i] = kind .. #text .. ':' .. text
  end
  return table.concat(out)
end

local function commit_decode(text)
  local parts, at = {}, 1
  while at <= #text do
    local kind, length, from = string.match(text, '^(%a)(%d+):()', at)
    at = from + length
    local part = string.sub(text, from, at - 1)
    if kind == 't' then
      part = commit_decode(part)
    elseif kind == 'w' then
      local words = {words = true}
      for word in string.gmatch(part, '%S+') do words[#words + 1] = word end
      part = words
    end
    parts[#parts + 1] = part
  end
  return parts
end

-- The number of the last plan that was counted, then the value of each counter of a list of names and increments.
local function commit_counters(counters, counts)
  local names = {'commits'}
  for i = 1, #counts, 2 do names[#names + 1] = counts[i] end
  return redis.call('HMGET', counters, unpack(names))
end

-- How many claim checks of a plan are in a stream.
local function commit_present(stream, since, number)
  local count = 0
  for _, entry in ipairs(redis.call('XRANGE', stream, since, '+')) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'n' and entry[2][i + 1] == number then count = count + 1 end
    end
  end
  return count
end

local function commit_carry_out(counters, plan, held, again)
  local number, since, adds, counts, rest = unpack(plan)
  if tonumber(held[1] or 0) < tonumber(number) then
    local present = {}
    for _, add in ipairs(adds) do
      local stream = add[1]
      if again and not present[stream] then present[stream] = commit_present(stream, since, number) end
      if again and present[stream] > 0 then
        present[stream] = present[stream] - 1
      else
        redis.call('XADD', stream, '*', 'n', number, unpack(add, 2))
      end
    end
    local values = {'commits', number}
    for i = 1, #counts, 2 do
      values[#values + 1] = counts[i]
      values[#values + 1] = string.format('%.0f', tonumber(held[(i + 3) / 2] or 0) + tonumber(counts[i + 1]))
    end
    redis.call('HSET', counters, unpack(values))
  end
  for _, command in ipairs(rest) do
    local name, key, group, words = unpack(command)
    if type(group) == 'table' then
      redis.call(name, key, unpack(group))
    elseif type(words) == 'table' then
      redis.call(name, key, group, unpack(words))
    else
      redis.call(unpack(command))
    end
  end
  redis.call('DEL', commit_key(counters, 'unfinished'))
end

-- Finishes the plan of a script that stopped, if there is one. It also counts as a takeover: whoever holds entries of that plan
-- must look for their outcomes.
local function commit_finish(counters)
  local text = redis.call('GET', commit_key(counters, 'unfinished'))
  if not text then return end
  redis.call('INCR', commit_key(counters, 'taken-over'))
  local plan = commit_decode(text)
  commit_carry_out(counters, plan, commit_counters(counters, plan[4]), true)
end

-- Adds claim checks ({stream, field, value, …} each), increments counters (a table from name to increment), and runs the rest
-- ({command, key, …} each; a table of words as its third or fourth part, the last, stands for that many arguments).
local function commit(counters, adds, increments, rest)
  local counts = {}
  for name, increment in pairs(increments) do
    if increment ~= 0 then
      counts[#counts + 1] = name
      counts[#counts + 1] = tostring(increment)
    end
  end
  local held = commit_counters(counters, counts)
  local number = string.format('%.0f', tonumber(held[1] or 0) + 1)
  local plan = {number, string.format('%.0f', commit_now()), adds, counts, rest}
  redis.call('SET', commit_key(counters, 'unfinished'), commit_encode(plan))
  commit_carry_out(counters, plan, held, false)
end
