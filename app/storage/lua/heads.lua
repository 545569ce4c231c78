-- Every bucket that is not empty, with its first member; and whether the structures hold the same number of jobs.
--
-- KEYS[1]  namespace
-- RETURNS  {1 or 0 for structures that disagree, {bucket, parts as JSON, number of members, job, key} each}
-- FAILS    never
local namespace, heads, members = KEYS[1], {}, 0
local buckets = redis.call('HGETALL', namespace .. ':bucket')
for n = 1, #buckets, 2 do
  local bucket = namespace .. ':b:' .. buckets[n]
  local first = redis.call('ZRANGE', bucket, 0, 0, 'WITHSCORES')
  if first[1] then
    local count = redis.call('ZCARD', bucket)
    members = members + count
    heads[#heads + 1] = {buckets[n], buckets[n + 1], count, first[1], first[2]}
  end
end

local by_key, by_submission = 0, 0
for _, class in ipairs(CLASSES) do
  by_key = by_key + redis.call('ZCARD', namespace .. ':q:' .. class)
  by_submission = by_submission + redis.call('ZCARD', namespace .. ':o:' .. class)
end
local known = redis.call('HLEN', namespace .. ':at')
local agree = members == known and by_key == known and by_submission == known
return {agree and 1 or 0, heads}
