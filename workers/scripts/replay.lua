-- Sends events of the inbox to handlers once more. Left alone: what was dropped as a duplicate, what could not be decoded, and at a
-- handler an event whose failure there is still on record. Those are to be retried, not replayed.
--
-- KEYS: failures, counters, todo stream of each handler, then the seen key of each event
-- ARGV: 1 to count only or else 0, number of handlers, their names, then for each event its id and its routes (one byte for each
--       handler's place, 1, 2, …)
-- Returns: number of events, number of claim checks written (or, if only counting, to be written)
local counting, handlers = ARGV[1] == '1', tonumber(ARGV[2])
local counts, events, total = {}, 0, 0
local next_seen = 2 + handlers
for i = 3 + handlers, #ARGV, 2 do
  local id, routes, before = ARGV[i], ARGV[i + 1], total
  next_seen = next_seen + 1
  local first = redis.call('GET', KEYS[next_seen])
  if (not first or first == id) and redis.call('HEXISTS', KEYS[1], 'drain:' .. id) == 0 then
    for j = 1, #routes do
      local place = string.byte(routes, j)
      if redis.call('HEXISTS', KEYS[1], ARGV[2 + place] .. ':' .. id) == 0 then
        if not counting then redis.call('XADD', KEYS[2 + place], '*', 'e', id) end
        counts[place] = (counts[place] or 0) + 1
        total = total + 1
      end
    end
    if total > before then events = events + 1 end
  end
end
if not counting then
  for place, count in pairs(counts) do redis.call('HINCRBY', KEYS[2], 'routed:' .. ARGV[2 + place], count) end
end
return {events, total}
