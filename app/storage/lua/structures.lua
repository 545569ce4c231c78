-- What the scripts share; the loader puts this text before each of them.
--
-- Under a namespace stand:
--   q:{class}  sorted set, job → order key            o:{class}  sorted set, job → submission time
--   b:{bucket} sorted set, job → order key            bucket     hash, bucket → its parts as JSON
--   at         hash, job → "{class}:{bucket}"         epoch      a mark that is lost with the data
-- Invariants: a job of `at` is in exactly one q, o and b; a field of `bucket` exists as long as its b has members.
-- Scores pass as text (%.17g) from end to end and are never made Lua numbers.
--
-- While the index is rebuilt, the namespace `{namespace}:next` holds the same structures anew, beside `token` (who
-- builds it) and `touched` (jobs that were added or removed meanwhile: the live index is right about these).

local CLASSES = {'urgent', 'high', 'normal', 'low'}

local function home(namespace, job)
  local at = redis.call('HGET', namespace .. ':at', job)
  if at then
    return string.match(at, '^(%a+):(.+)$')
  end
end

local function remove(namespace, job)
  local class, bucket = home(namespace, job)
  if not class then
    return 0
  end
  redis.call('ZREM', namespace .. ':q:' .. class, job)
  redis.call('ZREM', namespace .. ':o:' .. class, job)
  redis.call('ZREM', namespace .. ':b:' .. bucket, job)
  if redis.call('EXISTS', namespace .. ':b:' .. bucket) == 0 then
    redis.call('HDEL', namespace .. ':bucket', bucket)
  end
  return redis.call('HDEL', namespace .. ':at', job)
end

local function add(namespace, job, key, submitted, class, bucket, parts)
  local old_class, old_bucket = home(namespace, job)
  if old_class and (old_class ~= class or old_bucket ~= bucket) then
    remove(namespace, job)
  end
  redis.call('ZADD', namespace .. ':q:' .. class, key, job)
  redis.call('ZADD', namespace .. ':o:' .. class, submitted, job)
  redis.call('ZADD', namespace .. ':b:' .. bucket, key, job)
  redis.call('HSET', namespace .. ':bucket', bucket, parts)
  redis.call('HSET', namespace .. ':at', job, class .. ':' .. bucket)
end

-- Adds the tickets in `args` from index `from` on: number of buckets, (bucket, class, parts) each,
-- then (job, key, submitted, number of its bucket) each. Answers the jobs in their order.
local function add_tickets(namespace, args, from)
  local buckets, jobs = {}, {}
  local at = from + 1
  for n = 1, tonumber(args[from]) do
    buckets[n] = {args[at], args[at + 1], args[at + 2]}
    at = at + 3
  end
  while at <= #args do
    local bucket = buckets[tonumber(args[at + 3])]
    add(namespace, args[at], args[at + 1], args[at + 2], bucket[2], bucket[1], bucket[3])
    jobs[#jobs + 1] = args[at]
    at = at + 4
  end
  return jobs
end

-- Class → how many jobs wait in the classes before it.
local function jobs_before(namespace)
  local before, sum = {}, 0
  for _, class in ipairs(CLASSES) do
    before[class] = sum
    sum = sum + redis.call('ZCARD', namespace .. ':q:' .. class)
  end
  return before
end

-- {position, position in class, place in bucket, bucket}, all from 1; false for a job that does not wait.
local function place_of(namespace, job, before)
  local class, bucket = home(namespace, job)
  if not class then
    return false
  end
  local rank = redis.call('ZRANK', namespace .. ':q:' .. class, job)
  local place = redis.call('ZRANK', namespace .. ':b:' .. bucket, job)
  if not rank or not place then
    return false
  end
  return {before[class] + rank + 1, rank + 1, place + 1, bucket}
end

local function note_touched(namespace, jobs)
  if redis.call('EXISTS', namespace .. ':next:token') == 1 then
    for _, job in ipairs(jobs) do
      redis.call('SADD', namespace .. ':next:touched', job)
    end
  end
end

local function drop(namespace)
  for _, bucket in ipairs(redis.call('HKEYS', namespace .. ':bucket')) do
    redis.call('UNLINK', namespace .. ':b:' .. bucket)
  end
  for _, class in ipairs(CLASSES) do
    redis.call('UNLINK', namespace .. ':q:' .. class, namespace .. ':o:' .. class)
  end
  redis.call('UNLINK', namespace .. ':bucket', namespace .. ':at')
end
