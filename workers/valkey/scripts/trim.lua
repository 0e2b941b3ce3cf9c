-- Trims the inbox by some milliseconds of work, and never past an event that a claim check names. What was added to the todo
-- streams since the caller read them is read here, in the same atomic step: a replay cannot write claim checks that the trim passes.
--
-- Valkey removes whole nodes of the stream, which is cheap. It removes at most LIMIT entries, and nothing if a node has more. The
-- limit is small for large bodies, which are alone in their node and take up to a millisecond each to free, and grows where a node
-- has many entries. The work is bounded in entries, and in bytes by the size of each tenth entry: no clock advances in a script.
--
-- KEYS: inbox, counters, the todo stream of each handler
-- ARGV: prefix of the keys of todo streams, the first id to keep, then for each todo stream the id up to which it was read
-- Returns: how many entries were removed (-1 if events wait for a handler whose stream the caller did not read), whether there may
--          be more to remove (1 or 0), the first id kept, and the ids up to which the todo streams are read now
local read, keep = {}, ARGV[2]
for i = 3, #KEYS do read[KEYS[i]] = true end
local counters = redis.call('HGETALL', KEYS[2])
for i = 1, #counters, 2 do
  local handler = string.match(counters[i], '^waiting:(.+)$')
  if handler and counters[i + 1] ~= '0' and not read[ARGV[1] .. handler] then return {-1, 0, keep, {}} end
end
-- A plan that another script has not finished (see commit.lua) is about to add claim checks. It needs memory; a trim must not.
local plan = redis.call('GET', commit_key(KEYS[2], 'unfinished'))
for _, add in ipairs(plan and commit_decode(plan)[3] or {}) do
  for i = 2, #add, 2 do
    local id = add[i] == 'e' and string.match(add[i + 1], '^%S+')
    if id and is_older(id, keep) then keep = id end
  end
end
local last = {}
for i = 3, #KEYS do
  last[i - 2] = read_checks(KEYS[i], ARGV[i], nil, function(events, has_body)
    local id = string.match(events, '^%S+')
    if not has_body and is_older(id, keep) then keep = id end
  end)
end
local removed, bytes, limit = 0, 0, 10
while removed < 2000 and bytes < 4000000 do
  local first, size = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1], 0
  for _, part in ipairs(first and first[2] or {}) do size = size + #part end
  if size > 100000 then limit = 1 end
  local count = redis.call('XTRIM', KEYS[1], 'MINID', '~', keep, 'LIMIT', limit)
  removed, bytes = removed + count, bytes + count * size
  if count == 0 then
    if not first or size > 100000 or limit >= 100000 then return {removed, 0, keep, last} end
    limit = limit * 10
  elseif limit == 1 then
    limit = 10
  end
end
return {removed, 1, keep, last}
