-- A handler's acknowledgement, after its SQL transaction: applied events leave the todo stream, failed ones leave it for the
-- record of failures. An entry is counted only if this very call removed it, so a batch handled twice counts once.
--
-- KEYS: todo stream, counters, failures, retries
-- ARGV: group, handler, number of applied entries, their todo ids, then for each failed entry its todo id, its field of the failures
--       hash, the record, and the epoch ms at which it is to be tried again ('' for not by itself)
local group, handler, applied = ARGV[1], ARGV[2], tonumber(ARGV[3])
local done = 0
for i = 4, 3 + applied do
  redis.call('XACK', KEYS[1], group, ARGV[i])
  done = done + redis.call('XDEL', KEYS[1], ARGV[i])
end
if done > 0 then redis.call('HINCRBY', KEYS[2], 'applied:' .. handler, done) end
local failed = 0
local again = 0
for i = 4 + applied, #ARGV, 4 do
  redis.call('XACK', KEYS[1], group, ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    -- an event that was routed twice and fails twice has one record: it counts as routed once
    if redis.call('HSET', KEYS[3], ARGV[i + 1], ARGV[i + 2]) == 1 then failed = failed + 1 else again = again + 1 end
    if ARGV[i + 3] == '' then redis.call('ZREM', KEYS[4], ARGV[i + 1]) else redis.call('ZADD', KEYS[4], ARGV[i + 3], ARGV[i + 1]) end
  end
end
if failed > 0 then redis.call('HINCRBY', KEYS[2], 'failed:' .. handler, failed) end
if again > 0 then redis.call('HINCRBY', KEYS[2], 'routed:' .. handler, -again) end
return {done, failed}
