-- Acknowledges a handler's batch after its SQL transaction: removes the claim checks from the todo stream, and stores the
-- failures among their events. A claim check is counted only if this call removed it, so a batch that is handled twice counts
-- once. A record that exists is never changed here: it may contain a person's decision.
--
-- KEYS: todo stream, counters, failures, retries, outbox-due
-- ARGV: group, handler, epoch ms at which the outbox must be read ('' if it need not be),
--       then for each claim check its todo id, how many events it names, how many of them were left to their failure records,
--       how many failed, and for each failure its field of the failures hash, the record, and the epoch ms of its next attempt
--       ('' if there is none)
-- Returns: how many failures of the handler were on record before
local group, handler = ARGV[1], ARGV[2]
local before = tonumber(redis.call('HGET', KEYS[2], 'failed:' .. handler) or 0)
local done, applied, failed, again = 0, 0, 0, 0
local i = 4
while i <= #ARGV do
  local id, events, left, failures = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  i = i + 4
  redis.call('XACK', KEYS[1], group, id)
  if redis.call('XDEL', KEYS[1], id) == 1 then
    done = done + events
    applied = applied + events - left - failures
    again = again + left
    for f = i, i + 3 * failures - 1, 3 do
      -- an event that was routed twice and has a record counts as routed once
      if redis.call('HSETNX', KEYS[3], ARGV[f], ARGV[f + 1]) == 0 then
        again = again + 1
      else
        failed = failed + 1
        if ARGV[f + 2] ~= '' then redis.call('ZADD', KEYS[4], ARGV[f + 2], ARGV[f]) end
      end
    end
  end
  i = i + 3 * failures
end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[5], 'LT', ARGV[3], 'due') end
if done > 0 then redis.call('HINCRBY', KEYS[2], 'waiting:' .. handler, -done) end
if applied > 0 then redis.call('HINCRBY', KEYS[2], 'applied:' .. handler, applied) end
if failed > 0 then redis.call('HINCRBY', KEYS[2], 'failed:' .. handler, failed) end
if again > 0 then redis.call('HINCRBY', KEYS[2], 'routed:' .. handler, -again) end
return before
