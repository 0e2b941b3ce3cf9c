-- The dispatcher's commit point: gives each entry of a batch its one outcome and acknowledges it, in one atomic step.
--
-- An entry is counted once, whoever holds it. Entries of the inbox are acknowledged nowhere else. Each call with entries that
-- were taken over increments the count of takeovers. If that count is still the one of the batch's read, and its first entry is
-- pending, then all of it is the caller's. Otherwise every entry that is pending has had no outcome and is the caller's. One that
-- is not pending has had its outcome if that is on record: an identity first had by this event, a failure, or `#<event id>`.
-- Without a record it was lost with its consumer, which somebody has deleted, and is given its outcome now. Release 0.1 records
-- no duplicates: a duplicate without a record counts only if it is known that its consumer was deleted.
--
-- It may stop at any command and be called again: see commit.lua.
--
-- KEYS: inbox, counters, failures, unrecognised, takeovers, then todo stream, notified key and waiter key of each handler
-- ARGV: group, prefix of the seen keys, seen_ms, notify interval in ms, the most events that a claim check names,
--       takeovers when the batch was read ('' of entries taken over), the consumer that read it,
--       number of handlers, their names,
--       number of routes, the routes (one byte for each handler's place: 1, 2, …),
--       number n of decoded entries, their ids, their identities, a text with one byte for each: the place of its route,
--       number of those whose event's name is unrecognised, for each of them its place among the decoded entries and the name,
--       then for each undecodable entry its id and the failure record
-- Returns: takeovers, and the places of the handlers to notify.
local at = 0
local function next_arg()
  at = at + 1
  return ARGV[at]
end
local function next_args(count)
  local from = at + 1
  at = at + count
  return {unpack(ARGV, from, at)}
end
local group, seen_prefix, seen_ms, notify_ms = next_arg(), next_arg(), next_arg(), next_arg()
local most, known, consumer = tonumber(next_arg()), next_arg(), next_arg()
local names = next_args(tonumber(next_arg()))
local routes = next_args(tonumber(next_arg()))
local n = tonumber(next_arg())
local ids, identities, route_of = next_args(n), next_args(n), next_arg()
local unknown = {}
for _ = 1, tonumber(next_arg()) do
  local place = tonumber(next_arg())
  unknown[place] = next_arg()
end
local first_undecodable = at + 1

commit_finish(KEYS[2])
local all = {}
for i = 1, n do all[i] = ids[i] end
for i = first_undecodable, #ARGV, 2 do all[#all + 1] = ARGV[i] end
local function is_pending(id) return #redis.call('XPENDING', KEYS[1], group, id, id, 1) > 0 end
local function consumer_is_gone()
  for _, each in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], group)) do
    for i = 1, #each, 2 do
      if each[i] == 'name' and each[i + 1] == consumer then return false end
    end
  end
  return consumer ~= ''
end

local takeovers = redis.call('GET', KEYS[5])
local before = seen_first(seen_prefix, seen_ms, identities)
local lost = {}
if takeovers ~= known or not is_pending(all[1]) then
  local absent, marks, gone = {}, {}, nil
  for i, id in ipairs(all) do
    if not is_pending(id) then
      absent[#absent + 1] = i
      marks[#marks + 1] = '#' .. id
    end
  end
  local recorded = seen_first(seen_prefix, seen_ms, marks)
  for place, i in ipairs(absent) do
    local id = all[i]
    if recorded[place] or before[i] == id then
      lost[id] = true
    elseif i > n then
      lost[id] = redis.call('HEXISTS', KEYS[3], 'dispatch:' .. id) == 1
        or redis.call('HEXISTS', KEYS[3], 'drain:' .. id) == 1 -- the name in release 0.1
    elseif before[i] and takeovers ~= known then
      if gone == nil then gone = consumer_is_gone() end
      lost[id] = not gone
    end
  end
  if known == '' then takeovers = tostring(redis.call('INCR', KEYS[5])) end
end

local fresh, remembered = {}, {}
local counts = {routed = 0, duplicate = 0, unrecognised = 0, undecodable = 0}
local checks, new_names = {}, {}
for i = 1, n do
  local id, identity = ids[i], identities[i]
  if not lost[id] then
    local first = fresh[identity] or before[i]
    if first and first ~= id then
      counts.duplicate = counts.duplicate + 1
      remembered[#remembered + 1] = '#' .. id
      remembered[#remembered + 1] = 'duplicate'
    else
      counts.routed = counts.routed + 1
      fresh[identity] = id
      remembered[#remembered + 1] = identity
      remembered[#remembered + 1] = id
      local route = routes[string.byte(route_of, i)]
      for j = 1, #route do
        local place = string.byte(route, j)
        local list = checks[place]
        if not list then
          list = {}
          checks[place] = list
        end
        list[#list + 1] = id
      end
      local name = unknown[i]
      if name then
        counts.unrecognised = counts.unrecognised + 1
        new_names[name] = (new_names[name] or 0) + 1
      end
    end
  end
end

for i = first_undecodable, #ARGV, 2 do
  local id = ARGV[i]
  if not lost[id] then
    counts.undecodable = counts.undecodable + 1
    remembered[#remembered + 1] = '#' .. id
    remembered[#remembered + 1] = 'undecodable'
    redis.call('HSETNX', KEYS[3], 'dispatch:' .. id, ARGV[i + 1]) -- NX: a person may have changed it after a stop
  end
end
seen_remember(seen_prefix, seen_ms, remembered)

local adds, rest = {}, unrecognised_counts(KEYS[4], new_names)
for place, list in pairs(checks) do
  for i = 1, #list, most do -- at most a handler's batch: a long transaction would delay the others
    adds[#adds + 1] = {KEYS[3 + 3 * place], 'e', table.concat(list, ' ', i, math.min(i + most - 1, #list))}
  end
  counts['routed:' .. names[place]] = #list
  counts['waiting:' .. names[place]] = #list
end
all.words = true
rest[#rest + 1] = {'XACK', KEYS[1], group, all}
commit(KEYS[2], adds, counts, rest)

local notify = {}
for place in pairs(checks) do
  if redis.call('EXISTS', KEYS[5 + 3 * place]) == 0 and redis.call('SET', KEYS[4 + 3 * place], '1', 'NX', 'PX', notify_ms) then
    notify[#notify + 1] = place
  end
end
return {takeovers, notify}
