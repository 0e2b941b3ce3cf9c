-- Acknowledges a handler's batch after its SQL transaction: removes the claim checks from the todo stream, and stores the
-- failures among their events. A claim check is counted only if it is still there, so a batch that is handled twice counts once.
-- A record that exists is never changed here: it may contain a person's decision. It may stop at any command and be called
-- again: see commit.lua.
--
-- KEYS: todo stream, counters, failures, retries, outbox-due
-- ARGV: group, handler, epoch ms at which the outbox must be read ('' if it need not be),
--       then for each claim check its todo id, how many events it names, how many of them were left to their failure records,
--       how many failed, and for each failure its field of the failures hash, the record, and the epoch ms of its next attempt
--       ('' if there is none)
-- Returns: how many failures of the handler were on record before
commit_finish(KEYS[2])
local group, handler = ARGV[1], ARGV[2]
local before = tonumber(redis.call('HGET', KEYS[2], 'failed:' .. handler) or 0)
local done, applied, failed, again = 0, 0, 0, 0
local ids, rest, recorded = {words = true}, {}, {}
local i = 4
while i <= #ARGV do
  local id, events, left, failures = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  i = i + 4
  if not ids[id] and #redis.call('XRANGE', KEYS[1], id, id) == 1 then
    done = done + events
    applied = applied + events - left - failures
    again = again + left
    for f = i, i + 3 * failures - 1, 3 do
      -- an event that was routed twice and has a record counts as routed once
      local field = ARGV[f]
      if recorded[field] or redis.call('HEXISTS', KEYS[3], field) == 1 then
        again = again + 1
      else
        failed = failed + 1
        recorded[field] = true
        rest[#rest + 1] = {'HSET', KEYS[3], field, ARGV[f + 1]}
        if ARGV[f + 2] ~= '' then rest[#rest + 1] = {'ZADD', KEYS[4], ARGV[f + 2], field} end
      end
    end
  end
  if not ids[id] then
    ids[#ids + 1] = id
    ids[id] = true
  end
  i = i + 3 * failures
end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[5], 'LT', ARGV[3], 'due') end
if #ids > 0 then
  rest[#rest + 1] = {'XACK', KEYS[1], group, ids}
  rest[#rest + 1] = {'XDEL', KEYS[1], ids}
  commit(KEYS[2], {}, {
    ['waiting:' .. handler] = -done,
    ['applied:' .. handler] = applied,
    ['failed:' .. handler] = failed,
    ['routed:' .. handler] = -again,
  }, rest)
end
return before
