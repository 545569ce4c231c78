-- What all scripts share: the structures, and how jobs enter and leave them. The loader puts this text and that of
-- order.lua before each script.
--
-- Under a namespace stand, where a queue is "{class}:{pin}:{tenant}" (effective class; pin * where the tenant's band
-- counts):
--   q:{queue}      sorted set, job → order key         b:{bucket}  sorted set, job → order key
--   o:{class}      sorted set, job → submission time, by the class that was asked for
--   queues:{class} hash, queue of an effective class → how many jobs are in it
--   at             hash, job → "{own class}:{bucket}:{demand as JSON}"
--   bucket         hash, bucket → its parts as JSON    home        hash, bucket → its queue
--   made           hash, "{class}:{tenant}" → buckets  waiting     hash, effective class → how many jobs
--   cursor         hash, mixed bucket → "{key} {job}" where its last reading ended
--   band           hash, tenant → its band; 0 when absent
--   epoch          a mark that is lost with the data
-- Invariants: a job of `at` is in exactly one q, o and b; nothing empty is kept, so an index without jobs has no keys
-- but `band` and `epoch`.
-- Scores pass as text (%.17g) from end to end. They are made numbers only to be compared, never text again.
--
-- While the index is rebuilt, the namespace `{namespace}:next` holds the same structures anew, beside `token` (who
-- builds it) and `touched` (jobs that were added or removed meanwhile: what the store's cursor says of them is older).

local CLASSES = {'urgent', 'high', 'normal', 'low'}
-- Buckets of one class and tenant below which a new exact, quarter octave and octave one may be made; buckets in all.
local ROOM = {48, 80, 96}
local MOST_BUCKETS = 4096

-- Own class, bucket and demand; nothing for a job that does not wait.
local function home(namespace, job)
  local at = redis.call('HGET', namespace .. ':at', job)
  if at then
    return string.match(at, '^(%a+):(%x+):(.*)$')
  end
end

-- Class, pin and tenant.
local function parts_of(queue)
  return string.match(queue, '^(%a+):([^:]+):(.*)$')
end

local function one_less(key, field)
  if redis.call('HINCRBY', key, field, -1) <= 0 then
    redis.call('HDEL', key, field)
  end
end

local function remove(namespace, job)
  local own, bucket = home(namespace, job)
  if not own then
    return 0
  end
  redis.call('ZREM', namespace .. ':o:' .. own, job)
  redis.call('ZREM', namespace .. ':b:' .. bucket, job)
  local queue = redis.call('HGET', namespace .. ':home', bucket) or ''
  local class, _, tenant = parts_of(queue)
  if class and redis.call('ZREM', namespace .. ':q:' .. queue, job) == 1 then
    one_less(namespace .. ':waiting', class)
    one_less(namespace .. ':queues:' .. class, queue)
  end
  if class and redis.call('EXISTS', namespace .. ':b:' .. bucket) == 0 then
    redis.call('HDEL', namespace .. ':bucket', bucket)
    redis.call('HDEL', namespace .. ':home', bucket)
    redis.call('HDEL', namespace .. ':cursor', bucket)
    one_less(namespace .. ':made', class .. ':' .. tenant)
  end
  return redis.call('HDEL', namespace .. ':at', job)
end

-- The first of the four buckets that is there or may be made; the last, the mixed one, always may.
local function chosen(namespace, four, family)
  local exists = function(n)
    return redis.call('HEXISTS', namespace .. ':bucket', four[n].id) == 1
  end
  if exists(1) then
    return four[1]
  end
  local made = tonumber(redis.call('HGET', namespace .. ':made', family) or 0) or 0
  local full = redis.call('HLEN', namespace .. ':bucket') >= MOST_BUCKETS
  for n = 1, 3 do
    if (made < ROOM[n] and not full) or exists(n) then
      return four[n]
    end
  end
  return four[4]
end

-- The bucket that jobs of these arguments go to, registered: queue, then id and parts of the exact bucket and of the
-- three coarser ones.
local function settled(namespace, args, from)
  local queue, four = args[from], {}
  for n = 1, 4 do
    four[n] = {id = args[from + 2 * n - 1], parts = args[from + 2 * n]}
  end
  local class, _, tenant = parts_of(queue)
  local bucket = chosen(namespace, four, class .. ':' .. tenant)
  if redis.call('HSETNX', namespace .. ':bucket', bucket.id, bucket.parts) == 1 then
    redis.call('HSET', namespace .. ':home', bucket.id, queue)
    redis.call('HINCRBY', namespace .. ':made', class .. ':' .. tenant, 1)
  end
  return {id = bucket.id, queue = queue, class = class, jobs = 0}
end

local function into(lists, name, first, second)
  local list = lists[name] or {}
  lists[name] = list
  list[#list + 1] = first
  list[#list + 1] = second
end

-- Moves the tickets in `args` from index `from` on into the queue: number of distinct exact buckets, (queue, four times
-- id and parts) each, then (job, key, submitted, own class, demand as JSON, number of its bucket) each; at most 1,000
-- tickets, each structure in one command. Of a job that comes twice the last ticket holds; those in `except` (job →
-- true) stay as they are. Answers the jobs in their order.
local function add_tickets(namespace, args, from, except)
  local jobs, last = {}, {}
  local first = from + 1 + 9 * tonumber(args[from])
  for at = first, #args, 6 do
    jobs[#jobs + 1], last[args[at]] = args[at], at
  end
  if #jobs == 0 then
    return jobs
  end
  for n, at in ipairs(redis.call('HMGET', namespace .. ':at', unpack(jobs))) do
    if at and not except[jobs[n]] then
      remove(namespace, jobs[n])
    end
  end
  local buckets, sets, homes = {}, {}, {}
  for at = first, #args, 6 do
    local job, own, number = args[at], args[at + 3], tonumber(args[at + 5])
    if last[job] == at and not except[job] then
      local bucket = buckets[number] or settled(namespace, args, from + 1 + 9 * (number - 1))
      buckets[number] = bucket
      into(sets, ':q:' .. bucket.queue, args[at + 1], job)
      into(sets, ':o:' .. own, args[at + 2], job)
      into(sets, ':b:' .. bucket.id, args[at + 1], job)
      into(homes, ':at', job, own .. ':' .. bucket.id .. ':' .. args[at + 4])
      bucket.jobs = bucket.jobs + 1
    end
  end
  for name, values in pairs(sets) do
    redis.call('ZADD', namespace .. name, unpack(values))
  end
  for name, values in pairs(homes) do
    redis.call('HSET', namespace .. name, unpack(values))
  end
  for _, bucket in pairs(buckets) do
    redis.call('HINCRBY', namespace .. ':waiting', bucket.class, bucket.jobs)
    redis.call('HINCRBY', namespace .. ':queues:' .. bucket.class, bucket.queue, bucket.jobs)
  end
  return jobs
end

-- The namespace in which the index is being built anew, if it is; these jobs are noted as touched.
local function beside(namespace, jobs)
  local building = namespace .. ':next'
  if redis.call('EXISTS', building .. ':token') == 1 then
    for _, job in ipairs(jobs) do
      redis.call('SADD', building .. ':touched', job)
    end
    return building
  end
end

-- The names of all keys of an index, without the namespace.
local function keys_of(namespace)
  local names = {}
  for _, bucket in ipairs(redis.call('HKEYS', namespace .. ':bucket')) do
    names[#names + 1] = ':b:' .. bucket
  end
  for _, class in ipairs(CLASSES) do
    for _, queue in ipairs(redis.call('HKEYS', namespace .. ':queues:' .. class)) do
      names[#names + 1] = ':q:' .. queue
    end
    names[#names + 1] = ':o:' .. class
    names[#names + 1] = ':queues:' .. class
  end
  for _, name in ipairs({':at', ':bucket', ':home', ':made', ':waiting', ':cursor'}) do
    names[#names + 1] = name
  end
  return names
end

local function drop(namespace)
  for _, name in ipairs(keys_of(namespace)) do
    redis.call('UNLINK', namespace .. name)
  end
end
