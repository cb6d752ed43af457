#!lua
-- Ids that were seen: facts, which every node adds to the same sets. Adding one again changes nothing.
--
-- KEYS[1]  the nodes
-- ARGV     prefix, node, prev ('' while a share is filled in), floor (minute), ttl (s), max ids, users, sessions, then
--            u id last n minute* 2n (last session)*
--            s id last n minute* n minute-with-purchase* n step*
--          Times are in milliseconds, a step is milliseconds * 4 + step.
-- Returns  {1, ''}, or {0, applied} where prev is not what was applied last.
local prefix, node, prev = ARGV[1], ARGV[2], ARGV[3]
local floor, ttl, max_ids = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local count = { users = tonumber(ARGV[7]), sessions = tonumber(ARGV[8]) }
local NEVER, MAX_STEPS, BATCH = -1, 64, 4000

if prev ~= '' then
  local pointer = redis.call('HGET', KEYS[1], node) or '0 0 0'
  local applied = string.match(pointer, '^%S+ (%d+) ')
  if applied ~= prev then return { 0, applied } end
end

local at = 8
local function take()
  at = at + 1
  return ARGV[at]
end
local function list()
  local n, values = tonumber(take()), {}
  for i = 1, n do values[i] = take() end
  return values
end

-- What is to be written, by key: one call for many members.
local added, order = {}, {}
local function add(command, key, member, score)
  local batch = added[key]
  if not batch then
    batch = { command = command }
    added[key] = batch
    order[#order + 1] = key
  end
  if score then batch[#batch + 1] = score end
  batch[#batch + 1] = member
end

for _, key in ipairs({ 'users', 'sessions', 'f0', 'f1', 'f2', 'f3' }) do
  redis.call('ZREMRANGEBYSCORE', prefix .. key, '-inf', '(' .. floor * 60000)
end

local room, refused = {}, {}
for kind, n in pairs(count) do
  local left = max_ids - redis.call('ZCARD', prefix .. kind)
  -- Where all would fit even if all were new, nobody has to ask which are.
  if n > left then room[kind] = left end
end

-- Whether there is room for an id. Counts it in any case, in what estimates; a whole share brings estimates of its own.
local function see(kind, sketch, set, id, last, minutes)
  if prev ~= '' then
    for _, minute in ipairs(minutes) do add('PFADD', prefix .. sketch .. minute, id) end
  end
  if room[kind] and not redis.call('ZSCORE', prefix .. kind, id) then
    if room[kind] <= 0 then
      refused[kind] = math.max(refused[kind] or 0, tonumber(minutes[#minutes]))
      return false
    end
    room[kind] = room[kind] - 1
    redis.call('ZADD', prefix .. kind, last, id)
  end
  add('ZADD', prefix .. kind, id, last)
  for _, minute in ipairs(minutes) do add('SADD', prefix .. set .. minute, id) end
  return true
end

-- The way of a session through the funnel; the same as funnel.rs does in memory, where it is explained.
local function follow(starts, packed)
  local step = packed % 4
  local start = step == 0 and (packed - step) / 4 or starts[step]
  if start > starts[step + 1] then starts[step + 1] = start end
end

local function walk(id, steps)
  local key = prefix .. 'path:' .. id
  local stored = redis.call('GET', key)
  local path = stored and cmsgpack.unpack(stored) or { starts = { NEVER, NEVER, NEVER, NEVER }, steps = {} }
  local starts, known = path.starts, path.steps
  for _, step in ipairs(steps) do
    local packed, i = tonumber(step), #known
    while i > 0 and known[i] > packed do i = i - 1 end
    if known[i] ~= packed then
      table.insert(known, i + 1, packed)
      if i + 1 == #known then
        follow(starts, packed)
      else
        local again = { NEVER, NEVER, NEVER, NEVER }
        for _, p in ipairs(known) do follow(again, p) end
        for k = 1, 4 do starts[k] = math.max(starts[k], again[k]) end
      end
      if #known > MAX_STEPS then table.remove(known, 1) end
    end
  end
  redis.call('SET', key, cmsgpack.pack(path), 'EX', ttl)
  for k = 1, 4 do
    if starts[k] ~= NEVER then add('ZADD', prefix .. 'f' .. (k - 1), id, string.format('%.0f', starts[k])) end
  end
end

while at < #ARGV do
  local what, id, last = take(), take(), take()
  local minutes, more = list(), list()
  if what == 'u' then
    if see('users', 'hu:', 'u:', id, last, minutes) then
      for i = 1, #more, 2 do add('ZADD', prefix .. 'us:' .. id, more[i + 1], more[i]) end
    end
  else
    local steps = list()
    if see('sessions', 'hs:', 's:', id, last, minutes) then
      for _, minute in ipairs(more) do add('SADD', prefix .. 'c:' .. minute, id) end
      if #steps > 0 then walk(id, steps) end
    end
  end
end

for _, key in ipairs(order) do
  local batch = added[key]
  for from = 1, #batch, BATCH do
    local to = math.min(from + BATCH - 1, #batch)
    if batch.command == 'ZADD' then
      redis.call('ZADD', key, 'GT', unpack(batch, from, to))
    else
      redis.call(batch.command, key, unpack(batch, from, to))
    end
  end
  redis.call('EXPIRE', key, ttl)
end

-- Where the window begins, and the latest minutes in which an id was not told apart.
local w = prefix .. 'w'
local function raise(field, value)
  if value and value > tonumber(redis.call('HGET', w, field) or '0') then redis.call('HSET', w, field, value) end
end
raise('floor', floor)
raise('users', refused.users)
raise('sessions', refused.sessions)
redis.call('EXPIRE', w, ttl)
return { 1, '' }
