-- The drain's commit point: each entry of a batch gets its one outcome, and is acknowledged, in one atomic step.
--
-- An outcome is counted only if this very call acknowledged the entry: a batch that two drains hold (one of them was slow and
-- lost its claim) counts once. Entries are acknowledged here and nowhere else.
--
-- KEYS: inbox, counters, failures, unrecognised, then todo stream, bell and linger key of each handler, then the seen key of
--       each decoded entry.
-- ARGV: group, seen_ms, bell_ms, number of handlers, their names, then for each entry its id, routes and extra:
--       decoded:     routes = one byte for each handler's place (1, 2, …), extra = the event's name if unrecognised, else ''
--       undecodable: routes = '', extra = the failure record
-- Returns: duplicates, unrecognised, undecodable, and the places of handlers whose doorbell must be rung now.
local group, seen_ms, bell_ms, handlers = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local next_seen = 4 + 3 * handlers
local routed, duplicates, unrecognised, undecodable = 0, 0, 0, 0
local by_handler = {}
for i = 5 + handlers, #ARGV, 3 do
  local id, routes, extra = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local ours = redis.call('XACK', KEYS[1], group, id) == 1
  if routes == '' then
    if ours then
      undecodable = undecodable + 1
      redis.call('HSET', KEYS[3], 'drain:' .. id, extra)
    end
  else
    next_seen = next_seen + 1
    if ours then
      local first = redis.call('SET', KEYS[next_seen], id, 'NX', 'GET', 'PX', seen_ms)
      if first and first ~= id then
        duplicates = duplicates + 1
      else
        routed = routed + 1
        for j = 1, #routes do
          local place = string.byte(routes, j)
          redis.call('XADD', KEYS[2 + 3 * place], '*', 'e', id)
          by_handler[place] = (by_handler[place] or 0) + 1
        end
        if extra ~= '' then
          unrecognised = unrecognised + 1
          if redis.call('HEXISTS', KEYS[4], extra) == 0 and redis.call('HLEN', KEYS[4]) >= 1000 then extra = '(other names)' end
          redis.call('HINCRBY', KEYS[4], extra, 1)
        end
      end
    end
  end
end
local counts = {routed = routed, duplicate = duplicates, unrecognised = unrecognised, undecodable = undecodable}
for name, count in pairs(counts) do
  if count > 0 then redis.call('HINCRBY', KEYS[2], name, count) end
end
local ring = {}
for place, count in pairs(by_handler) do
  redis.call('HINCRBY', KEYS[2], 'routed:' .. ARGV[4 + place], count)
  if redis.call('EXISTS', KEYS[4 + 3 * place]) == 0 and redis.call('SET', KEYS[3 + 3 * place], '1', 'NX', 'PX', bell_ms) then
    ring[#ring + 1] = place
  end
end
return {duplicates, unrecognised, undecodable, ring}
