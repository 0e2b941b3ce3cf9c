-- Deduplication by identity: functions for the scripts that this file is loaded before, after commit.lua. Identities are stored
-- in hashes (buckets), one for each half of the deduplication window by Valkey's clock, each with the event id that had it first.
-- A batch costs one read of each bucket of the window and one write. An identity is remembered for at least one window and at most
-- one and a half, also if the window is changed: the zset `seen-buckets` has every bucket by the time of its end.
--
-- A large bucket never ends by its lifetime, which would stall a Redis that is not told to free memory lazily: the first write
-- after its end unlinks it. Its lifetime is longer, for a deployment that is given up.
--
-- An event that was not routed is remembered as well, under `#<event id>`: it proves that the event has had its outcome.
local SEEN_LARGE = 10000
local SEEN_LONGER_MS = 7 * 24 * 3600 * 1000
local seen_at

-- The buckets of the window, and those that are over.
local function seen_look(prefix, seen_ms)
  if seen_at then return seen_at end
  local now, window = commit_now(), tonumber(seen_ms)
  local half = math.max(1, math.floor(window / 2))
  local present = math.floor(now / half)
  local at = {window = window, present = prefix .. present, ends = {}, names = {}, over = {}, listed = {}}
  at.index = string.sub(prefix, 1, -2) .. '-buckets'
  local listed = redis.call('ZRANGE', at.index, 0, -1, 'WITHSCORES')
  for i = 1, #listed, 2 do
    local name, ends = listed[i], tonumber(listed[i + 1])
    at.listed[name] = true
    if ends + window <= now then
      at.over[#at.over + 1] = name
    else
      at.names[#at.names + 1], at.ends[name] = name, ends
    end
  end
  for number = present - 2, present do -- release 0.1 lists none
    local name = prefix .. number
    if not at.listed[name] and redis.call('EXISTS', name) == 1 then
      at.names[#at.names + 1], at.ends[name] = name, (number + 1) * half
    end
  end
  at.present_end = (present + 1) * half
  seen_at = at
  return at
end

-- Returns for each identity the id of the first event that had it, or false.
local function seen_first(prefix, seen_ms, identities)
  local first = {}
  if #identities == 0 then return first end
  for _, name in ipairs(seen_look(prefix, seen_ms).names) do
    local found = redis.call('HMGET', name, unpack(identities))
    for i = 1, #identities do first[i] = first[i] or found[i] end
  end
  return first
end

local function seen_keep(at, name, ends)
  local longer = redis.call('HLEN', name) > SEEN_LARGE and SEEN_LONGER_MS or 0
  redis.call('PEXPIREAT', name, string.format('%.0f', ends + at.window + longer))
end

-- Stores pairs of identity and event id: identity, id, identity, id, …
local function seen_remember(prefix, seen_ms, pairs_of)
  if #pairs_of == 0 then return end
  local at = seen_look(prefix, seen_ms)
  redis.call('HSET', at.present, unpack(pairs_of))
  seen_keep(at, at.present, at.present_end)
  if at.listed[at.present] then return end
  for _, name in ipairs(at.over) do redis.call('UNLINK', name) end
  for _, name in ipairs(at.over) do redis.call('ZREM', at.index, name) end
  at.ends[at.present] = nil
  for name, ends in pairs(at.ends) do
    seen_keep(at, name, ends)
    redis.call('ZADD', at.index, string.format('%.0f', ends), name)
  end
  redis.call('ZADD', at.index, string.format('%.0f', at.present_end), at.present) -- last: it says that all of this is done
  redis.call('PEXPIREAT', at.index, string.format('%.0f', at.present_end + at.window + SEEN_LONGER_MS))
end
