-- Every bucket with its first member; and whether the structures hold the same jobs and buckets, by their numbers.
--
-- KEYS[1]  namespace
-- RETURNS  {1 or 0 for structures that disagree, then bucket, number of members, job, key, entry of `at` of each in turn}
-- FAILS    never
local namespace, heads, firsts, members = KEYS[1], {0}, {}, 0
local buckets = redis.call('HKEYS', namespace .. ':bucket')
for _, bucket in ipairs(buckets) do
  local set = namespace .. ':b:' .. bucket
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[1] then
    local count, at = redis.call('ZCARD', set), #heads
    heads[at + 1], heads[at + 2], heads[at + 3], heads[at + 4], heads[at + 5] = bucket, count, first[1], first[2], false
    firsts[#firsts + 1] = first[1]
    members = members + count
  end
end
for start = 1, #firsts, 1000 do
  local entries = redis.call('HMGET', namespace .. ':at', unpack(firsts, start, math.min(#firsts, start + 999)))
  for n, entry in ipairs(entries) do
    heads[1 + 5 * (start + n - 1)] = entry
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
local buckets_agree = #firsts == #buckets and homes == #firsts and made == #firsts
heads[1] = jobs_agree and buckets_agree and sizes_agree and 1 or 0
return heads
