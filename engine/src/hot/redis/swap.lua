#!lua
-- A generation that was filled becomes the current one of its node, unless another one did meanwhile.
--
-- KEYS[1]  the nodes
-- ARGV     node, the generation it replaces, the new one, the position it reaches, ttl (s)
-- Returns  1, or 0 where the node's generation is not the one to be replaced.
local pointer = redis.call('HGET', KEYS[1], ARGV[1]) or '0 0 0'
if string.match(pointer, '^(%S+) ') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. redis.call('TIME')[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
