-- Every bucket that is not empty, with its first member.
--
-- KEYS[1]  namespace
-- RETURNS  {bucket, parts as JSON, number of members, job, key} each
-- FAILS    never
local namespace, heads = KEYS[1], {}
local buckets = redis.call('HGETALL', namespace .. ':bucket')
for n = 1, #buckets, 2 do
  local members = namespace .. ':b:' .. buckets[n]
  local first = redis.call('ZRANGE', members, 0, 0, 'WITHSCORES')
  if first[1] then
    heads[#heads + 1] = {buckets[n], buckets[n + 1], redis.call('ZCARD', members), first[1], first[2]}
  end
end
return heads
