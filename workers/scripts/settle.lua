-- A handler's acknowledgement, after its SQL transaction: applied events leave the todo stream, failed ones leave it for the
-- record of failures. An entry is counted only if this very call removed it, so a batch handled twice counts once.
--
-- KEYS: todo stream, counters, failures
-- ARGV: group, handler, number of applied entries, their todo ids, then for each failed entry its todo id, event id and record
local group, handler, applied = ARGV[1], ARGV[2], tonumber(ARGV[3])
local done = 0
for i = 4, 3 + applied do
  redis.call('XACK', KEYS[1], group, ARGV[i])
  done = done + redis.call('XDEL', KEYS[1], ARGV[i])
end
if done > 0 then redis.call('HINCRBY', KEYS[2], 'applied:' .. handler, done) end
local failed = 0
for i = 4 + applied, #ARGV, 3 do
  redis.call('XACK', KEYS[1], group, ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    failed = failed + 1
    redis.call('HSET', KEYS[3], handler .. ':' .. ARGV[i + 1], ARGV[i + 2])
  end
end
if failed > 0 then redis.call('HINCRBY', KEYS[2], 'failed:' .. handler, failed) end
return {done, failed}
