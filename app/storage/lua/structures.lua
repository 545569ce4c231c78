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

-- Takes away those of the jobs that are elsewhere than in `homes`, job → "{class}:{bucket}".
local function leave_other_homes(namespace, jobs, homes)
  for n, at in ipairs(redis.call('HMGET', namespace .. ':at', unpack(jobs))) do
    if at and at ~= homes[jobs[n]] then
      remove(namespace, jobs[n])
    end
  end
end

local function into(lists, name, first, second)
  local list = lists[name]
  if not list then
    list = {}
    lists[name] = list
  end
  list[#list + 1] = first
  list[#list + 1] = second
end

-- Adds the tickets in `args` from index `from` on: number of buckets, (bucket, class, parts) each,
-- then (job, key, submitted, number of its bucket) each; at most 1,000 tickets, each structure in one command.
-- Of a job that comes twice the last ticket holds. Answers the jobs in their order.
local function add_tickets(namespace, args, from)
  local buckets, jobs, homes, last = {}, {}, {}, {}
  local first = from + 1 + 3 * tonumber(args[from])
  for at = from + 1, first - 1, 3 do
    buckets[#buckets + 1] = {id = args[at], class = args[at + 1], parts = args[at + 2]}
  end
  for at = first, #args, 4 do
    local job, bucket = args[at], buckets[tonumber(args[at + 3])]
    jobs[#jobs + 1], last[job], homes[job] = job, at, bucket.class .. ':' .. bucket.id
  end
  if #jobs == 0 then
    return jobs
  end
  leave_other_homes(namespace, jobs, homes)
  local sets, fields, told = {}, {}, {}
  for at = first, #args, 4 do
    local job, bucket = args[at], buckets[tonumber(args[at + 3])]
    if last[job] == at then
      into(sets, ':q:' .. bucket.class, args[at + 1], job)
      into(sets, ':o:' .. bucket.class, args[at + 2], job)
      into(sets, ':b:' .. bucket.id, args[at + 1], job)
      into(fields, ':at', job, homes[job])
      if not told[bucket.id] then
        told[bucket.id] = true
        into(fields, ':bucket', bucket.id, bucket.parts)
      end
    end
  end
  for name, values in pairs(sets) do
    redis.call('ZADD', namespace .. name, unpack(values))
  end
  for name, values in pairs(fields) do
    redis.call('HSET', namespace .. name, unpack(values))
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
