-- Selects the queues that need a notification: no consumer waits on them, and none was sent a moment ago. Marks them as
-- notified.
--
-- KEYS: waiter and notified key of each queue
-- ARGV: how long a mark lasts, in ms
-- Returns: places of the queues to notify, from 1
local queues = {}
for i = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 and redis.call('SET', KEYS[i + 1], '1', 'NX', 'PX', ARGV[1]) then
    queues[#queues + 1] = (i + 1) / 2
  end
end
return queues
