-- Every bucket with its first member; and whether the structures hold the same jobs and buckets, by their numbers.
--
-- KEYS[1]  namespace
-- RETURNS  {1 or 0 for structures that disagree, {bucket, parts as JSON, number of members, {{job, key, demand}}} each}
-- FAILS    never
local namespace, heads, members = KEYS[1], {}, 0
local buckets = redis.call('HGETALL', namespace .. ':bucket')
for n = 1, #buckets, 2 do
  local set = namespace .. ':b:' .. buckets[n]
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[1] then
    local count = redis.call('ZCARD', set)
    members = members + count
    heads[#heads + 1] = {buckets[n], buckets[n + 1], count, members_of(namespace, first)}
  end
end

local queued, submitted, counted, made, empty = 0, 0, 0, 0, 0
for _, class in ipairs(CLASSES) do
  for _, queue in ipairs(redis.call('SMEMBERS', namespace .. ':queues:' .. class)) do
    local size = redis.call('ZCARD', namespace .. ':q:' .. queue)
    queued, empty = queued + size, empty + (size == 0 and 1 or 0)
  end
  submitted = submitted + redis.call('ZCARD', namespace .. ':o:' .. class)
end
for _, count in ipairs(redis.call('HVALS', namespace .. ':waiting')) do
  counted = counted + (tonumber(count) or 0)
end
for _, count in ipairs(redis.call('HVALS', namespace .. ':made')) do
  made = made + (tonumber(count) or 0)
end
local known, homes = redis.call('HLEN', namespace .. ':at'), redis.call('HLEN', namespace .. ':home')
local jobs_agree = members == known and queued == known and submitted == known and counted == known
local buckets_agree = #heads == #buckets / 2 and homes == #heads and made == #heads
return {jobs_agree and buckets_agree and empty == 0 and 1 or 0, heads}
