-- Routes events of the inbox to handlers again. It skips duplicates, undecodable events, and for each handler the events whose
-- failure there is still recorded: failures are retried, not replayed.
--
-- KEYS: failures, counters, todo stream of each handler
-- ARGV: 1 to count only or else 0, prefix of the seen keys, seen_ms, number of handlers, their names, then for each event its
-- id, its
--       identity and its routes (one byte for each handler's place, 1, 2, …)
-- Returns: number of events, number of claim checks written (if only counting: that would be written)
local counting, handlers = ARGV[1] == '1', tonumber(ARGV[4])
local counts, events, total = {}, 0, 0
local identities = {}
for i = 5 + handlers, #ARGV, 3 do identities[#identities + 1] = ARGV[i + 1] end
local seen, nth = seen_first(ARGV[2], ARGV[3], identities), 0
for i = 5 + handlers, #ARGV, 3 do
  local id, routes, before = ARGV[i], ARGV[i + 2], total
  nth = nth + 1
  local first = seen[nth]
  if (not first or first == id) and redis.call('HEXISTS', KEYS[1], 'dispatch:' .. id) == 0
    and redis.call('HEXISTS', KEYS[1], 'drain:' .. id) == 0 then -- the name in release 0.1
    for j = 1, #routes do
      local place = string.byte(routes, j)
      if redis.call('HEXISTS', KEYS[1], ARGV[4 + place] .. ':' .. id) == 0 then
        if not counting then redis.call('XADD', KEYS[2 + place], '*', 'e', id) end
        counts[place] = (counts[place] or 0) + 1
        total = total + 1
      end
    end
    if total > before then events = events + 1 end
  end
end
if not counting then
  for place, count in pairs(counts) do
    redis.call('HINCRBY', KEYS[2], 'routed:' .. ARGV[4 + place], count)
    redis.call('HINCRBY', KEYS[2], 'waiting:' .. ARGV[4 + place], count)
  end
end
return {events, total}
