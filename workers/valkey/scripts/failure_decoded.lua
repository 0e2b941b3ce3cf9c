-- Resolves the failure of a body that can now be decoded: removes the record if it is still what the caller read, then
-- deduplicates and routes the event as if it were new. The claim checks contain the body, because the inbox may have been
-- trimmed.
--
-- KEYS: failures, retries, in-flight, counters, unrecognised, then the todo stream of each handler it is routed to
-- ARGV: field, the record as read, event id, identity, prefix of the seen keys, seen_ms, provider, body, the request context
--       ('' if there is none), the event's name if it is unrecognised or else '', then the handlers' names
-- Returns: 1 if the record was removed, else 0
commit_finish(KEYS[4]) -- it may stop at any command and be called again: see commit.lua
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local id, identity, prefix, seen_ms, name = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[10]
local counts, adds, rest = {undecodable = -1}, {}, {}
local first = seen_first(prefix, seen_ms, {identity})[1]
if first and first ~= id then
  counts.duplicate = 1
else
  seen_remember(prefix, seen_ms, {identity, id})
  counts.routed = 1
  for i = 6, #KEYS do
    local check = {KEYS[i], 'e', id, 'p', ARGV[7], 'b', ARGV[8]}
    if ARGV[9] ~= '' then
      check[8], check[9] = 'r', ARGV[9]
    end
    adds[#adds + 1] = check
    counts['routed:' .. ARGV[i + 5]] = 1
    counts['waiting:' .. ARGV[i + 5]] = 1
  end
  if name ~= '' then
    counts.unrecognised = 1
    rest = unrecognised_counts(KEYS[5], {[name] = 1})
  end
end
rest[#rest + 1] = {'ZREM', KEYS[2], ARGV[1]}
rest[#rest + 1] = {'ZREM', KEYS[3], ARGV[1]}
rest[#rest + 1] = {'HDEL', KEYS[1], ARGV[1]}
commit(KEYS[4], adds, counts, rest)
return 1
