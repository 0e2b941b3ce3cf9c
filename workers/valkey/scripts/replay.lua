-- Routes events of the inbox to handlers again. It skips duplicates, undecodable events, events that are no longer in the inbox, and
-- for each handler the events whose failure there is still recorded (failures are retried, not replayed) or that a claim check
-- names. The caller leaves out those that it has read of; claim checks that were added since are read here.
-- It may stop at any command and be called again: see commit.lua.
--
-- KEYS: failures, counters, inbox, todo stream of each handler
-- ARGV: 1 to count only or else 0, prefix of the seen keys, seen_ms, number of handlers, their names, the ids up to which their
--       claim checks were read, then for each event its id, its identity and its routes (one byte for each handler's place, 1, 2, …)
-- Returns: number of events, number of claim checks written (if only counting: that would be written), how many claim checks were
--          left out since the event waits for the handler, and since its failure is recorded, how many events are duplicates, and
--          no longer in the inbox, and the ids up to which the claim checks are read now
commit_finish(KEYS[2])
local counting, handlers = ARGV[1] == '1', tonumber(ARGV[4])
local counts, adds, events, total = {}, {}, 0, 0
local waiting, recorded, duplicates, gone = 0, 0, 0, 0
local first_event = 5 + 2 * handlers
local waits, last = {}, {}
for place = 1, handlers do
  local named = {}
  waits[place] = named
  last[place] = read_checks(KEYS[3 + place], ARGV[4 + handlers + place], nil, function(ids)
    for id in string.gmatch(ids, '%S+') do named[id] = true end
  end)
end
local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
local identities = {}
for i = first_event, #ARGV, 3 do identities[#identities + 1] = ARGV[i + 1] end
local seen, nth = seen_first(ARGV[2], ARGV[3], identities), 0
for i = first_event, #ARGV, 3 do
  local id, routes, before = ARGV[i], ARGV[i + 2], total
  nth = nth + 1
  local first = seen[nth]
  if first and first ~= id then
    duplicates = duplicates + 1
  elseif not oldest or is_older(id, oldest[1]) then
    gone = gone + 1
  elseif redis.call('HEXISTS', KEYS[1], 'dispatch:' .. id) == 1
    or redis.call('HEXISTS', KEYS[1], 'drain:' .. id) == 1 then -- the name in release 0.1
    recorded = recorded + 1
  else
    for j = 1, #routes do
      local place = string.byte(routes, j)
      local name = ARGV[4 + place]
      if redis.call('HEXISTS', KEYS[1], name .. ':' .. id) == 1 then
        recorded = recorded + 1
      elseif waits[place][id] then
        waiting = waiting + 1
      else
        adds[#adds + 1] = {KEYS[3 + place], 'e', id}
        counts['routed:' .. name] = (counts['routed:' .. name] or 0) + 1
        counts['waiting:' .. name] = (counts['waiting:' .. name] or 0) + 1
        total = total + 1
      end
    end
    if total > before then events = events + 1 end
  end
end
if not counting and total > 0 then commit(KEYS[2], adds, counts, {}) end
return {events, total, waiting, recorded, duplicates, gone, last}
