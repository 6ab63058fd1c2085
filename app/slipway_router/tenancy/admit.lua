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

local function correct(name, at, tokens)
  local key = p .. 't:' .. name
  if redis.call('HEXISTS', key, whole(at)) == 1 then
    redis.call('HINCRBY', key, whole(at), whole(tokens))
    redis.call('HINCRBY', key, 'sum', whole(tokens))
  end
end

local function book(b)
  local kind, name = b[1], b[2]
  if kind == 'tokens' then
    correct(name, b[3], b[4])
  elseif kind == 'money' then
    local key, id, reserved, real = p .. 'b:' .. name .. ':' .. b[3], b[4], b[5], b[6]
    if id == '' then
      redis.call('HINCRBY', key, 'spent', whole(real))
    elseif redis.call('HDEL', p .. 'held:' .. a.me, id) == 1 then
      redis.call('HINCRBY', key, 'held', whole(-reserved))
      redis.call('HINCRBY', key, 'spent', whole(real))
    else -- Somebody took this router for dead and booked what was reserved.
      redis.call('HINCRBY', key, 'spent', whole(real - reserved))
    end
    redis.call('EXPIRE', key, 34560000)
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
  redis.call('SET', p .. 'seq:' .. a.me, whole(a.seq), 'EX', 604800)
end

local function admit(name, requests, tokens, budget, wanted, units, month, id)
  local rkey, tkey, bkey = p .. 'r:' .. name, p .. 't:' .. name, p .. 'b:' .. name .. ':' .. month
  local count, sum, oldest, reset, rest = 0, 0, second, 0, 0
  if requests > 0 then
    local first = redis.call('LINDEX', rkey, 0)
    while first and tonumber(first) <= now - window do
      redis.call('LPOP', rkey)
      first = redis.call('LINDEX', rkey, 0)
    end
    count = redis.call('LLEN', rkey)
    if count > 0 then reset = tonumber(redis.call('LINDEX', rkey, -1)) + window - now end
  end
  if tokens > 0 then sum, oldest = used(tkey) end
  local left, over, wait = math.max(0, requests - count), math.max(0, tokens - sum), 0
  if requests > 0 and count >= requests then
    wait = tonumber(redis.call('LINDEX', rkey, count - requests)) + window - now
    return {1, 0, over, math.ceil(wait / 1000), math.ceil(reset / 1000), rest}
  end
  if tokens > 0 and sum + wanted > tokens then
    local freed = 0
    while oldest <= second and sum - freed + wanted > tokens do
      freed = freed + tonumber(redis.call('HGET', tkey, whole(oldest)) or '0')
      oldest = oldest + 1
    end
    wait = (oldest + seconds) * 1000000 - now
    return {2, left, over, math.ceil(wait / 1000), math.ceil(reset / 1000), rest}
  end
  if budget > 0 then
    local spent = tonumber(redis.call('HGET', bkey, 'spent') or '0') + tonumber(redis.call('HGET', bkey, 'held') or '0')
    rest = budget - spent
    if rest <= 0 or units > rest then return {3, left, over, 0, math.ceil(reset / 1000), rest} end
    rest = rest - units
    redis.call('HINCRBY', bkey, 'held', whole(units))
    redis.call('EXPIRE', bkey, 34560000)
    redis.call('HSET', p .. 'held:' .. a.me, id, cjson.encode({name, month, whole(units)}))
  end
  if requests > 0 then
    redis.call('RPUSH', rkey, whole(now))
    redis.call('PEXPIRE', rkey, whole(window / 1000))
    left, reset = left - 1, window
  end
  if tokens > 0 then
    count_tokens(tkey, second, wanted)
    over = over - wanted
  end
  return {0, left, over, second, math.ceil(reset / 1000), rest}
end

local told = {}
for i, q in ipairs(a.asks) do told[i] = admit(unpack(q)) end
if #told == 0 then return '[]' end
return cjson.encode(told)
