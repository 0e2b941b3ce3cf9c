-- The memory of identities, put before each script that needs it. Identities are kept in hashes, each for half a window of Valkey's
-- own time, so that a whole batch costs one look into the present hash and the two before it, and one write. An identity is remembered
-- for a window at least, and half of one more at the most. The keys share the hash tag of all others; which they are, the time decides.
local function seen_half(seen_ms)
  local time = redis.call('TIME')
  local half = math.max(1, math.floor(tonumber(seen_ms) / 2))
  return half, math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / half)
end

-- For each identity the id of the event that had it first, or false.
local function seen_first(prefix, seen_ms, identities)
  local first = {}
  if #identities == 0 then return first end
  local _, present = seen_half(seen_ms)
  for bucket = present - 2, present do
    local key = prefix .. bucket
    if redis.call('EXISTS', key) == 1 then
      local found = redis.call('HMGET', key, unpack(identities))
      for i = 1, #identities do first[i] = first[i] or found[i] end
    end
  end
  return first
end

-- Remembers pairs of identity and event id: identity, id, identity, id, …
local function seen_remember(prefix, seen_ms, pairs_of)
  if #pairs_of == 0 then return end
  local half, present = seen_half(seen_ms)
  local key = prefix .. present
  redis.call('HSET', key, unpack(pairs_of))
  redis.call('PEXPIREAT', key, (present + 3) * half)
end
