-- Which of these lanes need a doorbell: those where no task lingers and no ring is on its way. Notes the ring.
--
-- KEYS: linger and bell key of each lane   ARGV: bell_ms
local ring = {}
for i = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 and redis.call('SET', KEYS[i + 1], '1', 'NX', 'PX', ARGV[1]) then
    ring[#ring + 1] = (i + 1) / 2
  end
end
return ring
