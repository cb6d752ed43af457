#!lua
-- What adds up: wholly or not at all, and only on top of what it follows.
--
-- KEYS[1]  the nodes
-- ARGV     prefix, node, prev, last, generation, floor (minute), ttl (s), max names, then
--            h key n (field value)*                              counters of this node and generation
--            b board minute n (name low high)*                   a board of this node and generation
--            o minute order seq low high source country          an order; seq is '' where it states no amount
--            l time json                                         one of the latest orders
--            r kind minute                                       an id of users, sessions was not told apart
--            k key hyperloglog                                   estimates of a minute to go on with
--          While a share is filled in, prev is '' and everything goes to the generation named; else the generation
--          is the current one, and `last` becomes the position applied.
--          An amount is high * 10^12 + low: Redis adds in 64 bits and refuses to overflow.
-- Returns  {1, last}, or {0, applied} where prev is not what was applied last.
local nodes, prefix, node, prev, last, gen = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local floor, ttl, max_names = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local BY_SOURCE, BY_COUNTRY, LATEST = '3', '4', 20
local heartbeat = tonumber(redis.call('TIME')[1])

if prev ~= '' then
  local pointer = redis.call('HGET', nodes, node) or '0 0 0'
  local applied
  gen, applied = string.match(pointer, '^(%S+) (%d+) ')
  if applied ~= prev then return { 0, applied } end
end
local own = prefix .. 'n:' .. node .. ':' .. gen .. ':'

-- First everything is read and checked: an error later would leave half of it.
local at = 8
local function take()
  at = at + 1
  return ARGV[at]
end
local function number(text)
  if not text or #text > 18 or not string.match(text, '^%-?%d+$') then
    error('not a number: ' .. tostring(text))
  end
  return text
end
local checked = {}
local function expect(key, wanted)
  if checked[key] then return end
  checked[key] = true
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then error(key .. ' is a ' .. found .. ', not a ' .. wanted) end
end

local hashes, boards, orders, latest, refused, sketches = {}, {}, {}, {}, {}, {}
while at < #ARGV do
  local what = take()
  if what == 'h' then
    local hash = { key = own .. take() }
    expect(hash.key, 'hash')
    for i = 1, tonumber(take()) do hash[i] = { take(), number(take()) } end
    hashes[#hashes + 1] = hash
  elseif what == 'b' then
    local board = { board = take(), minute = number(take()) }
    board.key = own .. 'b' .. board.board .. ':' .. board.minute
    expect(board.key, 'hash')
    for i = 1, tonumber(take()) do board[i] = { take(), number(take()), number(take()) } end
    boards[#boards + 1] = board
  elseif what == 'o' then
    local order = { minute = number(take()), id = take(), seq = take(), low = take(), high = take(),
      source = take(), country = take() }
    for _, key in ipairs({ 'o:', 'om:', 'ob3:', 'ob4:' }) do expect(prefix .. key .. order.minute, 'hash') end
    if order.seq ~= '' then
      for _, value in ipairs({ order.seq, order.low, order.high }) do number(value) end
    end
    orders[#orders + 1] = order
  elseif what == 'l' then
    latest[#latest + 1] = { number(take()), take() }
  elseif what == 'r' then
    refused[#refused + 1] = { take(), tonumber(number(take())) }
  elseif what == 'k' then
    sketches[#sketches + 1] = { prefix .. take(), take() }
    expect(sketches[#sketches][1], 'string')
  else
    error('unknown: ' .. tostring(what))
  end
end
local w = prefix .. 'w'
expect(w, 'hash')
local last_seen = { 'users', 'sessions', 'f0', 'f1', 'f2', 'f3' }
for _, key in ipairs(last_seen) do expect(prefix .. key, 'zset') end
expect(prefix .. 'latest', 'zset')

local touched = { [w] = true, [nodes] = true }
local function add(key, field, value)
  if value ~= '0' then redis.call('HINCRBY', key, field, value) end
  touched[key] = true
end
local function raise(field, value)
  if value > tonumber(redis.call('HGET', w, field) or '0') then redis.call('HSET', w, field, value) end
end

-- Adds to a name on a board; the name it went to.
local function score(key, board, minute, name, low, high, crowded)
  if crowded and redis.call('HEXISTS', key, 'l' .. name) == 0 and redis.call('HLEN', key) >= max_names then
    name = '(other)'
    raise('b' .. board, tonumber(minute))
  end
  add(key, 'l' .. name, low)
  add(key, 'h' .. name, high)
  return name
end

for _, hash in ipairs(hashes) do
  for _, field in ipairs(hash) do add(hash.key, field[1], field[2]) end
end

for _, board in ipairs(boards) do
  local crowded = redis.call('HLEN', board.key) + #board > max_names
  for _, n in ipairs(board) do score(board.key, board.board, board.minute, n[1], n[2], n[3], crowded) end
end

-- Orders are facts too: whoever saw an order first in order of Seq states its amount.
local function minus(value)
  if value == '0' then return value end
  return string.sub(value, 1, 1) == '-' and string.sub(value, 2) or '-' .. value
end
for _, order in ipairs(orders) do
  local minute = order.minute
  local key = prefix .. 'o:' .. minute
  local known = redis.call('HGET', key, order.id)
  touched[key] = true
  if order.seq == '' then
    if not known then redis.call('HSET', key, order.id, '') end
  else
    local before = known and known ~= '' and cmsgpack.unpack(known)
    local seq = tonumber(order.seq)
    if not before or seq < tonumber(before[1]) or (seq == tonumber(before[1]) and node < before[2]) then
      local total, by_source, by_country = prefix .. 'om:' .. minute, prefix .. 'ob3:' .. minute, prefix .. 'ob4:' .. minute
      if before then
        local low, high = minus(before[3]), minus(before[4])
        add(total, 'rl', low)
        add(total, 'rh', high)
        score(by_source, BY_SOURCE, minute, before[5], low, high, false)
        score(by_country, BY_COUNTRY, minute, before[6], low, high, false)
      end
      add(total, 'rl', order.low)
      add(total, 'rh', order.high)
      local source = score(by_source, BY_SOURCE, minute, order.source, order.low, order.high, true)
      local country = score(by_country, BY_COUNTRY, minute, order.country, order.low, order.high, true)
      local record = cmsgpack.pack({ order.seq, node, order.low, order.high, source, country })
      redis.call('HSET', key, order.id, record)
    end
  end
end

for _, order in ipairs(latest) do
  redis.call('ZADD', prefix .. 'latest', order[1], order[2])
end
if #latest > 0 then
  redis.call('ZREMRANGEBYRANK', prefix .. 'latest', 0, -LATEST - 1)
end
touched[prefix .. 'latest'] = true

for _, sketch in ipairs(sketches) do
  local brought = prefix .. 'k'
  redis.call('SET', brought, sketch[2], 'EX', ttl)
  redis.call('PFMERGE', sketch[1], brought)
  redis.call('DEL', brought)
  touched[sketch[1]] = true
end
for _, minute in ipairs(refused) do raise(minute[1], minute[2]) end

-- What nobody sees any more leaves with time, also while nothing comes in.
for _, key in ipairs(last_seen) do
  redis.call('ZREMRANGEBYSCORE', prefix .. key, '-inf', '(' .. floor * 60000)
end
raise('floor', floor)
for key in pairs(touched) do redis.call('EXPIRE', key, ttl) end

if prev == '' then return { 1, last } end
redis.call('HSET', nodes, node, gen .. ' ' .. last .. ' ' .. heartbeat)
redis.call('EXPIRE', nodes, ttl)
-- Nodes that have been silent for longer than a window have nothing left to count.
local all = redis.call('HGETALL', nodes)
for i = 1, #all, 2 do
  local seen = tonumber(string.match(all[i + 1], ' (%d+)$') or '0')
  if heartbeat - seen > ttl then redis.call('HDEL', nodes, all[i]) end
end
return { 1, last }
