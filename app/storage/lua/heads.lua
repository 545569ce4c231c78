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

local queued, submitted, counted, made, sizes_agree = 0, 0, 0, 0, true
for _, class in ipairs(CLASSES) do
  local queues = redis.call('HGETALL', namespace .. ':queues:' .. class)
  for n = 1, #queues, 2 do
    local size = redis.call('ZCARD', namespace .. ':q:' .. queues[n])
    queued = queued + size
    sizes_agree = sizes_agree and size > 0 and size == tonumber(queues[n + 1])
  end
  submitted = submitted + redis.call('ZCARD', namespace .. ':o:' .. class)
end
for _, count in ipairs(redis.call('HVALS', namespace .. ':waiting')) do
  counted = counted + (tonumber(count) or -1)
end
for _, count in ipairs(redis.call('HVALS', namespace .. ':made')) do
  made = made + (tonumber(count) or -1)
end
local known, homes = redis.call('HLEN', namespace .. ':at'), redis.call('HLEN', namespace .. ':home')
local jobs_agree = members == known and queued == known and submitted == known and counted == known
local buckets_agree = #heads == #buckets / 2 and homes == #heads and made == #heads
return {jobs_agree and buckets_agree and sizes_agree and 1 or 0, heads}
