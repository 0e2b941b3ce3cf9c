-- The dispatcher's commit point: gives each entry of a batch its one outcome and acknowledges it, in one atomic step.
--
-- An outcome is counted only if this call acknowledged the entry. A batch that two dispatchers hold (one was slow and lost its
-- claim) therefore counts once. Entries of the inbox are acknowledged nowhere else. Each call with entries that were taken over
-- increments the count of takeovers. If that count is still the one of the batch's read, all its entries are still the
-- caller's, and one XACK acknowledges them all. Otherwise each entry is acknowledged, and checked, by itself.
--
-- KEYS: inbox, counters, failures, unrecognised, takeovers, then todo stream, notified key and waiter key of each handler
-- ARGV: group, prefix of the seen keys, seen_ms, notify interval in ms, the most events that a claim check names,
--       takeovers when the batch was read ('' of entries taken over),
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
local most, known = tonumber(next_arg()), next_arg()
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

local all = {}
for i = 1, n do all[i] = ids[i] end
for i = first_undecodable, #ARGV, 2 do all[#all + 1] = ARGV[i] end
local takeovers = redis.call('GET', KEYS[5])
local lost = {}
if takeovers == known then
  redis.call('XACK', KEYS[1], group, unpack(all))
else
  for _, id in ipairs(all) do
    if redis.call('XACK', KEYS[1], group, id) == 0 then lost[id] = true end
  end
  if known == '' then takeovers = tostring(redis.call('INCR', KEYS[5])) end
end

local before = seen_first(seen_prefix, seen_ms, identities)
local fresh, remembered = {}, {}
local routed, duplicates, unrecognised = 0, 0, 0
local checks = {}
for i = 1, n do
  local id, identity = ids[i], identities[i]
  if not lost[id] then
    local first = fresh[identity] or before[i]
    if first and first ~= id then
      duplicates = duplicates + 1
    else
      routed = routed + 1
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
        unrecognised = unrecognised + 1
        if redis.call('HEXISTS', KEYS[4], name) == 0 and redis.call('HLEN', KEYS[4]) >= 1000 then name = '(other names)' end
        redis.call('HINCRBY', KEYS[4], name, 1)
      end
    end
  end
end
seen_remember(seen_prefix, seen_ms, remembered)

local undecodable = 0
for i = first_undecodable, #ARGV, 2 do
  if not lost[ARGV[i]] then
    undecodable = undecodable + 1
    redis.call('HSET', KEYS[3], 'dispatch:' .. ARGV[i], ARGV[i + 1])
  end
end
local counts = {routed = routed, duplicate = duplicates, unrecognised = unrecognised, undecodable = undecodable}
for name, count in pairs(counts) do
  if count > 0 then redis.call('HINCRBY', KEYS[2], name, count) end
end
local notify = {}
for place, list in pairs(checks) do
  for i = 1, #list, most do -- at most a handler's batch: a long transaction would delay the others
    redis.call('XADD', KEYS[3 + 3 * place], '*', 'e', table.concat(list, ' ', i, math.min(i + most - 1, #list)))
  end
  redis.call('HINCRBY', KEYS[2], 'routed:' .. names[place], #list)
  redis.call('HINCRBY', KEYS[2], 'waiting:' .. names[place], #list)
  if redis.call('EXISTS', KEYS[5 + 3 * place]) == 0 and redis.call('SET', KEYS[4 + 3 * place], '1', 'NX', 'PX', notify_ms) then
    notify[#notify + 1] = place
  end
end
return {takeovers, notify}
