-- Acknowledges a handler's batch after its SQL transaction: removes the claim checks from the todo stream, and stores the
-- failures among their events. A claim check is counted only if this call removed it, so a batch that is handled twice counts
-- once.
--
-- KEYS: todo stream, counters, failures, retries, outbox-due
-- ARGV: group, handler, epoch ms at which the outbox must be read ('' if it need not be),
--       then for each claim check its todo id, how many events it names, how many of them failed, and for each failure its field
--       of the failures hash, the record, and the epoch ms of its next attempt ('' if there is none)
local group, handler = ARGV[1], ARGV[2]
local done, applied, failed, again = 0, 0, 0, 0
local i = 4
while i <= #ARGV do
  local id, events, failures = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  i = i + 3
  redis.call('XACK', KEYS[1], group, id)
  if redis.call('XDEL', KEYS[1], id) == 1 then
    done = done + events
    applied = applied + events - failures
    for f = i, i + 3 * failures - 1, 3 do
      -- an event that was routed twice and fails twice has one record: it counts as routed once
      if redis.call('HSET', KEYS[3], ARGV[f], ARGV[f + 1]) == 1 then failed = failed + 1 else again = again + 1 end
      if ARGV[f + 2] == '' then redis.call('ZREM', KEYS[4], ARGV[f]) else redis.call('ZADD', KEYS[4], ARGV[f + 2], ARGV[f]) end
    end
  end
  i = i + 3 * failures
end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[5], 'LT', ARGV[3], 'due') end
if done > 0 then redis.call('HINCRBY', KEYS[2], 'waiting:' .. handler, -done) end
if applied > 0 then redis.call('HINCRBY', KEYS[2], 'applied:' .. handler, applied) end
if failed > 0 then redis.call('HINCRBY', KEYS[2], 'failed:' .. handler, failed) end
if again > 0 then redis.call('HINCRBY', KEYS[2], 'routed:' .. handler, -again) end
return {applied, failed}
