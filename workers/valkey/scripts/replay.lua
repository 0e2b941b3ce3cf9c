-- Routes events of the inbox to handlers again. It skips duplicates, undecodable events, and for each handler the events whose
-- failure there is still recorded: failures are retried, not replayed.
--
-- KEYS: failures, counters, todo stream of each handler
-- ARGV: 1 to count only or else 0, prefix of the seen keys, seen_ms, number of handlers, their names, then for each event its
-- id, its
--       identity and its routes (one byte for each handler's place, 1, 2, …)
-- Returns: number of events, number of claim checks written (if only counting: that would be written)
commit_finish(KEYS[2]) -- it may stop at any command and be called again: see commit.lua
local counting, handlers = ARGV[1] == '1', tonumber(ARGV[4])
local counts, adds, events, total = {}, {}, 0, 0
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
        local name = ARGV[4 + place]
        adds[#adds + 1] = {KEYS[2 + place], 'e', id}
        counts['routed:' .. name] = (counts['routed:' .. name] or 0) + 1
        counts['waiting:' .. name] = (counts['waiting:' .. name] or 0) + 1
        total = total + 1
      end
    end
    if total > before then events = events + 1 end
  end
end
if not counting and total > 0 then commit(KEYS[2], adds, counts, {}) end
return {events, total}
