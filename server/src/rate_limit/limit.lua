#!lua
-- One charge of several windows, all or none; window.rs says what a window is. The `#!` line makes a Redis that is out
-- of memory refuse the script before it begins.
--
-- KEYS: a hash for each window, slot -> used. All share one hash tag, so that a cluster keeps them together.
-- ARGV: now in ms, or -1 for the server's own time; ms of a slot; slots of a window; then limit and cost of each key.
-- Answer: which key did not fit (0 when all did), ms until it would, then used and ms until some returns, of each key.
local now, slot_ms, slots = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local current = math.floor(now / slot_ms)
local oldest = current - slots

local function until_gone(slot)
  return math.max(0, (slot + slots + 1) * slot_ms - now)
end

local refused, wait, seen = 0, 0, {}
for i, key in ipairs(KEYS) do
  local limit, cost = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  -- The first command on each key, before any is written: one of another type ends the script here, whole.
  local all = redis.call('HGETALL', key)
  local window = { used = 0, slots = {}, stale = {}, cost = cost }
  for at = 1, #all, 2 do
    local slot, used = tonumber(all[at]), tonumber(all[at + 1])
    -- Slots far ahead are of a server whose clock was ahead of this one's.
    if slot < oldest or slot > current + slots then
      table.insert(window.stale, all[at])
    else
      window.used = window.used + used
      table.insert(window.slots, { slot, used })
      if not window.first or slot < window.first then window.first = slot end
    end
  end
  if refused == 0 and window.used + cost > limit then
    refused = i
    table.sort(window.slots, function(a, b) return a[1] < b[1] end)
    local used = window.used
    wait = slot_ms * slots
    for _, pair in ipairs(window.slots) do
      used = used - pair[2]
      if used + cost <= limit then
        wait = until_gone(pair[1])
        break
      end
    end
  end
  seen[i] = window
end

local answer = { refused, wait }
for i, key in ipairs(KEYS) do
  local window = seen[i]
  if refused == 0 and window.cost > 0 then
    if #window.stale > 0 then redis.call('HDEL', key, unpack(window.stale)) end
    redis.call('HINCRBY', key, string.format('%.0f', current), window.cost)
    redis.call('PEXPIRE', key, slot_ms * (slots + 2))
    window.used = window.used + window.cost
    if not window.first or current < window.first then window.first = current end
  end
  table.insert(answer, window.used)
  table.insert(answer, window.first and until_gone(window.first) or 0)
end
return answer
