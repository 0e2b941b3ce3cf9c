-- Resolves the failure of a body that can now be decoded: removes the record if it is still what the caller read, then
-- deduplicates and routes the event as if it were new. The claim checks contain the body, because the inbox may have been
-- trimmed.
--
-- KEYS: failures, retries, in-flight, counters, unrecognised, then the todo stream of each handler it is routed to
-- ARGV: field, the record as read, event id, identity, prefix of the seen keys, seen_ms, provider, body, the request context
--       ('' if there is none), the event's name if it is unrecognised or else '', then the handlers' names
-- Returns: 1 if the record was removed, else 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[4], 'undecodable', -1)
local id, identity, prefix, seen_ms, name = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[10]
local first = seen_first(prefix, seen_ms, {identity})[1]
if first and first ~= id then
  redis.call('HINCRBY', KEYS[4], 'duplicate', 1)
  return 1
end
seen_remember(prefix, seen_ms, {identity, id})
redis.call('HINCRBY', KEYS[4], 'routed', 1)
local check = {'e', id, 'p', ARGV[7], 'b', ARGV[8]}
if ARGV[9] ~= '' then
  check[7], check[8] = 'r', ARGV[9]
end
for i = 6, #KEYS do
  redis.call('XADD', KEYS[i], '*', unpack(check))
  redis.call('HINCRBY', KEYS[4], 'routed:' .. ARGV[i + 5], 1)
  redis.call('HINCRBY', KEYS[4], 'waiting:' .. ARGV[i + 5], 1)
end
if name ~= '' then
  redis.call('HINCRBY', KEYS[4], 'unrecognised', 1)
  if redis.call('HEXISTS', KEYS[5], name) == 0 and redis.call('HLEN', KEYS[5]) >= 1000 then name = '(other names)' end
  redis.call('HINCRBY', KEYS[5], name, 1)
end
return 1
