-- Replaces the bands of the tenants.
--
-- KEYS[1]  namespace
-- ARGV[*]  (tenant, band) each
-- RETURNS  how many have one
-- FAILS    never
local key = KEYS[1] .. ':band'
redis.call('DEL', key)
for n = 1, #ARGV, 2 do
  redis.call('HSET', key, ARGV[n], ARGV[n + 1])
end
return #ARGV / 2
