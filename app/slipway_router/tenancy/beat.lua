-- A router tells that it lives and how its backends are, and hears the same of the others.
--
-- KEYS[1]  what the names of all keys begin with
-- ARGV[1]  JSON: me, lively (s), dead (s), health (text, '' for nothing)
-- Returns  JSON: how many live, the version of the keys, [health of each other router]
--
-- What a router that is no longer heard of had reserved is booked as it was reserved: its requests were under way, their backends
-- at work for them, and the estimate is the best that anybody knows. Of one that was only cut off, the difference is booked when
-- it tells what they really came to.
local p, a = KEYS[1], cjson.decode(ARGV[1])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', p .. 'alive', now, a.me)
if a.health ~= '' then
  redis.call('HSET', p .. 'health', a.me, a.health)
else
  redis.call('HDEL', p .. 'health', a.me)
end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', p .. 'alive', '-inf', now - a.dead)) do
  local held = redis.call('HGETALL', p .. 'held:' .. dead)
  for i = 2, #held, 2 do
    local name, month, units = unpack(cjson.decode(held[i]))
    local key = p .. 'b:' .. name .. ':' .. month
    redis.call('HINCRBY', key, 'held', '-' .. units)
    redis.call('HINCRBY', key, 'spent', units)
  end
  redis.call('DEL', p .. 'held:' .. dead)
  redis.call('HDEL', p .. 'health', dead)
  redis.call('ZREM', p .. 'alive', dead)
end
local lively = redis.call('ZRANGEBYSCORE', p .. 'alive', now - a.lively, '+inf')
local others = {}
for _, who in ipairs(lively) do
  if who ~= a.me then
    local said = redis.call('HGET', p .. 'health', who)
    if said then others[#others + 1] = said end
  end
end
local version = tonumber(redis.call('GET', p .. 'keys:version') or '0')
return cjson.encode({#lively, version, #others > 0 and others or cjson.null})
