-- Adds what a worker has found in the providers' bodies since its last flush: findings, and how many bodies had which field.
--
-- KEYS: findings, counts of findings, fields that bodies had
-- ARGV: number of findings, for each its field, its record as first seen, and how often; then for each event its name, how many
-- of its
--       bodies were inspected, number of fields, and for each its path and how many of those bodies had it
-- Returns: the hash fields of new findings. At most 1,000 findings and 20,000 paths are kept.
local new = {}
local at = 2
for _ = 1, tonumber(ARGV[1]) do
  local field, record, count = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  if redis.call('HEXISTS', KEYS[1], field) == 1 or redis.call('HLEN', KEYS[1]) < 1000 then
    if redis.call('HSETNX', KEYS[1], field, record) == 1 then new[#new + 1] = field end
    redis.call('HINCRBY', KEYS[2], field, count)
  end
end
local has_capacity = redis.call('HLEN', KEYS[3]) < 20000
while has_capacity and at <= #ARGV do
  local event, inspected, paths = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  local total = redis.call('HINCRBY', KEYS[3], event, inspected)
  for _ = 1, paths do
    redis.call('HINCRBY', KEYS[3], event .. '|' .. ARGV[at] .. '|came', ARGV[at + 1])
    redis.call('HSET', KEYS[3], event .. '|' .. ARGV[at] .. '|last', total)
    at = at + 2
  end
end
return new
