-- Selects the queues that need a notification: no consumer waits on them, and none was sent before. Marks them as notified.
--
-- A mark stands until a task of the queue starts, or its message has expired. A message that nobody has answered after a
-- while is lost, or its broker is away.
--
-- KEYS: waiter and notified key of each queue
-- ARGV: how long a mark lasts, in ms; after how long a message is unanswered, in ms; the shortest lifetime of such a mark
--       (a mark that only limits how often messages are sent, or of a former release, ends sooner)
-- Returns: places of the queues to notify, from 1, and of those whose message is unanswered
local lifetime, patience, shortest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local queues, unanswered = {}, {}
for i = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    if redis.call('SET', KEYS[i + 1], '1', 'NX', 'PX', lifetime) then
      queues[#queues + 1] = (i + 1) / 2
    else
      local left = redis.call('PTTL', KEYS[i + 1])
      if left > shortest and left <= lifetime - patience then unanswered[#unanswered + 1] = (i + 1) / 2 end
    end
  end
end
return {queues, unanswered}
