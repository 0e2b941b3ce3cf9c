-- Deduplication by identity: functions for the scripts that this file is loaded before. Identities are stored in hashes, one
-- for each half of the deduplication window by Valkey's clock. A batch costs one read of the current hash and of the two before
-- it, and one write. An identity is remembered for at least one window and at most one and a half. The keys have the same hash
-- tag as all others; the clock determines their names.
local function seen_half(seen_ms)
  local time = redis.call('TIME')
  local half = math.max(1, math.floor(tonumber(seen_ms) / 2))
  return half, math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / half)
end

-- Returns for each identity the id of the first event that had it, or false.
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

-- Stores pairs of identity and event id: identity, id, identity, id, …
local function seen_remember(prefix, seen_ms, pairs_of)
  if #pairs_of == 0 then return end
  local half, present = seen_half(seen_ms)
  local key = prefix .. present
  redis.call('HSET', key, unpack(pairs_of))
  redis.call('PEXPIREAT', key, (present + 3) * half)
end
