-- Books what requests came to, then admits others, all at once: nobody else's call runs in between (Redis, "Atomicity of scripts").
--
-- KEYS[1]  what the names of all keys begin with
-- ARGV[1]  JSON: me, window (us), seq, books, asks
--          book: ["tokens", name, second, tokens more]
--                ["money", name, month, id or "", reserved, real], and where tokens are counted too: second, tokens more
--                ["times", name, [us ago, ...], [[us ago, tokens], ...]]
--          ask:  [name, requests, tokens, budget, tokens wanted, units wanted, month, id], limits 0 where there is none
-- Returns  JSON: for each ask [0 admitted | 1 requests | 2 tokens | 3 budget, requests left, tokens left, ms to wait or the second, ms to reset,
--          units left of the budget]
--
-- Requests are a list of their times, at most as many as the limit: exact in any window. Tokens are summed by the second they
-- were admitted in, a second leaving as a whole: never more than the limit in any window, and for up to a second less.
local p, a = KEYS[1], cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local second = tonumber(clock[1])
local now = second * 1000000 + tonumber(clock[2])
local window, seconds = a.window, math.ceil(a.window / 1000000)
local function whole(number) return string.format('%.0f', number) end

-- How many tokens count now; seconds that are over leave.
local function used(key)
  local sum = tonumber(redis.call('HGET', key, 'sum') or '0')
  local oldest = tonumber(redis.call('HGET', key, 'oldest') or whole(second))
  if second - oldest > 2 * seconds then
    redis.call('DEL', key)
    return 0, second
  end
  local first = oldest
  while oldest + seconds < second do
    local gone = redis.call('HGET', key, whole(oldest))
    if gone then
      sum = sum - tonumber(gone)
      redis.call('HDEL', key, whole(oldest))
    end
    oldest = oldest + 1
  end
  if oldest ~= first then redis.call('HSET', key, 'sum', whole(sum), 'oldest', whole(oldest)) end
  return sum, oldest
end

local function count_tokens(key, at, tokens)
  if redis.call('HSETNX', key, 'oldest', whole(at)) == 0 and tonumber(redis.call('HGET', key, 'oldest')) > at then
    redis.call('HSET', key, 'oldest', whole(at))
  end
  redis.call('HINCRBY', key, whole(at), whole(tokens))
  redis.call('HINCRBY', key, 'sum', whole(tokens))
  redis.call('EXPIRE', key, 2 * seconds + 2)
end

-- Most requests of one call are of few tenants: what is known of each is read once, counted here, and written once.

local function kept(states, name, read)
  local known = states[name]
  if not known then
    known = read(name)
    states[name] = known
  end
  return known
end

-- What was under way and is over. Kept apart by tenant and month, and by tenant and second.
local paid, corrected = {}, {}

local function correct(name, at, tokens)
  local entry = kept(corrected, name .. ' ' .. whole(at), function() return {p .. 't:' .. name, at, 0} end)
  entry[3] = entry[3] + tokens
end

-- A number of Lua is whole up to 2^53; no request alone comes near that.
local MOST = 2 ^ 52

local function pay(key, entry)
  if entry[1] ~= 0 then redis.call('HINCRBY', key, 'held', whole(entry[1])) end
  if entry[2] ~= 0 then redis.call('HINCRBY', key, 'spent', whole(entry[2])) end
  redis.call('EXPIRE', key, 34560000)
  entry[1], entry[2] = 0, 0
end

local function book(b)
  local kind, name = b[1], b[2]
  if kind == 'tokens' then
    correct(name, b[3], b[4])
  elseif kind == 'money' then
    local id, reserved, real = b[4], b[5], b[6]
    local key = p .. 'b:' .. name .. ':' .. b[3]
    local entry = kept(paid, key, function() return {0, 0} end)
    if math.max(math.abs(entry[1]) + reserved, math.abs(entry[2]) + real) > MOST then pay(key, entry) end
    if id == '' then
      entry[2] = entry[2] + real
    elseif redis.call('HDEL', p .. 'held:' .. a.me, id) == 1 then
      entry[1], entry[2] = entry[1] - reserved, entry[2] + real
    else -- Somebody took this router for dead and booked what was reserved.
      entry[2] = entry[2] + real - reserved
    end
    if b[7] then correct(name, b[7], b[8]) end
  else
    local key = p .. 'r:' .. name
    for _, ago in ipairs(b[3]) do redis.call('RPUSH', key, whole(now - ago)) end
    if #b[3] > 0 then redis.call('PEXPIRE', key, whole(window / 1000)) end
    for _, counted in ipairs(b[4]) do
      count_tokens(p .. 't:' .. name, math.floor((now - counted[1]) / 1000000), counted[2])
    end
  end
end

if a.seq > 0 and a.seq > tonumber(redis.call('GET', p .. 'seq:' .. a.me) or '0') then
  for _, b in ipairs(a.books) do book(b) end
  for key, entry in pairs(paid) do pay(key, entry) end
  for _, entry in pairs(corrected) do
    if redis.call('HEXISTS', entry[1], whole(entry[2])) == 1 then
      redis.call('HINCRBY', entry[1], whole(entry[2]), whole(entry[3]))
      redis.call('HINCRBY', entry[1], 'sum', whole(entry[3]))
    end
  end
  redis.call('SET', p .. 'seq:' .. a.me, whole(a.seq), 'EX', 604800)
end

local windows, buckets, purses = {}, {}, {}

local function read_window(name)
  local key, reset = p .. 'r:' .. name, 0
  local first = redis.call('LINDEX', key, 0)
  while first and tonumber(first) <= now - window do
    redis.call('LPOP', key)
    first = redis.call('LINDEX', key, 0)
  end
  local count = redis.call('LLEN', key)
  if count > 0 then reset = tonumber(redis.call('LINDEX', key, -1)) + window - now end
  return {key = key, count = count, reset = reset, more = {}}
end

local function read_bucket(name)
  local key = p .. 't:' .. name
  local sum, oldest = used(key)
  return {key = key, sum = sum, oldest = oldest, more = 0}
end

local function read_purse(key)
  local spent, held = unpack(redis.call('HMGET', key, 'spent', 'held'))
  return {key = key, taken = tonumber(spent or '0') + tonumber(held or '0'), more = 0}
end

local held = {}

local function admit(name, requests, tokens, budget, wanted, units, month, id)
  local w, t, b, reset, rest = nil, nil, nil, 0, 0
  local left, over, wait = 0, 0, 0
  if requests > 0 then
    w = kept(windows, name, read_window)
    left, reset = math.max(0, requests - w.count), w.reset
  end
  if tokens > 0 then
    t = kept(buckets, name, read_bucket)
    over = math.max(0, tokens - t.sum)
  end
  if w and w.count >= requests then
    -- Those of this call are not in the list yet.
    local at = redis.call('LINDEX', w.key, w.count - requests)
    wait = (at and tonumber(at) or now) + window - now
    return {1, 0, over, math.ceil(wait / 1000), math.ceil(reset / 1000), rest}
  end
  if t and t.sum + wanted > tokens then
    local freed, oldest = 0, t.oldest
    while oldest <= second and t.sum - freed + wanted > tokens do
      freed = freed + tonumber(redis.call('HGET', t.key, whole(oldest)) or '0')
      if oldest == second then freed = freed + t.more end
      oldest = oldest + 1
    end
    wait = (oldest + seconds) * 1000000 - now
    return {2, left, over, math.ceil(wait / 1000), math.ceil(reset / 1000), rest}
  end
  if budget > 0 then
    b = kept(purses, p .. 'b:' .. name .. ':' .. month, read_purse)
    rest = budget - b.taken
    if rest <= 0 or units > rest then return {3, left, over, 0, math.ceil(reset / 1000), rest} end
    rest = rest - units
    if b.more + units > MOST then
      redis.call('HINCRBY', b.key, 'held', whole(b.more))
      b.more = 0
    end
    b.taken, b.more = b.taken + units, b.more + units
    held[#held + 1] = id
    held[#held + 1] = cjson.encode({name, month, whole(units)})
  end
  if w then
    w.count, w.reset = w.count + 1, window
    w.more[#w.more + 1] = whole(now)
    left, reset = left - 1, window
  end
  if t then
    t.sum, t.more = t.sum + wanted, t.more + wanted
    over = over - wanted
  end
  return {0, left, over, second, math.ceil(reset / 1000), rest}
end

local told = {}
for i, q in ipairs(a.asks) do told[i] = admit(unpack(q)) end
for _, w in pairs(windows) do
  if #w.more > 0 then
    redis.call('RPUSH', w.key, unpack(w.more))
    redis.call('PEXPIRE', w.key, whole(window / 1000))
  end
end
for _, t in pairs(buckets) do
  if t.more > 0 then count_tokens(t.key, second, t.more) end
end
for _, b in pairs(purses) do
  if b.more > 0 then redis.call('HINCRBY', b.key, 'held', whole(b.more)) end
  redis.call('EXPIRE', b.key, 34560000)
end
if #held > 0 then redis.call('HSET', p .. 'held:' .. a.me, unpack(held)) end
if #told == 0 then return '[]' end
return cjson.encode(told)
