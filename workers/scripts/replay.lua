-- Sends events of the inbox to handlers once more. An event whose earlier failure at a handler is still on record is left alone
-- there: it is to be retried, not replayed.
--
-- KEYS: failures, counters, todo stream of each handler
-- ARGV: number of handlers, their names, then for each event its id and its routes (one byte for each handler's place, 1, 2, …)
-- Returns: number of claim checks written
local handlers = tonumber(ARGV[1])
local counts, total = {}, 0
for i = 2 + handlers, #ARGV, 2 do
  local id, routes = ARGV[i], ARGV[i + 1]
  for j = 1, #routes do
    local place = string.byte(routes, j)
    if redis.call('HEXISTS', KEYS[1], ARGV[1 + place] .. ':' .. id) == 0 then
      redis.call('XADD', KEYS[2 + place], '*', 'e', id)
      counts[place] = (counts[place] or 0) + 1
      total = total + 1
    end
  end
end
for place, count in pairs(counts) do redis.call('HINCRBY', KEYS[2], 'routed:' .. ARGV[1 + place], count) end
return total
