-- The order of waiting jobs, (class, band, key, id), as scripts read it.
--
-- A line is the order of one class: groups by ascending band, each of the queues of that band (a tenant's own, and
-- those of jobs that a reorder put into the band). Within a group the queues make one order by (key, id), which is
-- never written down: a place in it is a cut through the queues, found in O(queues · log² n) at most, and mostly in few rounds.

-- Whether an id comes before another, by bytes as in sorted sets; Lua's own < goes by the server's locale.
local function before(one, other)
  for n = 1, math.min(#one, #other) do
    local a, b = string.byte(one, n), string.byte(other, n)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- How many members of a sorted set come before (key, job), `low` of which are those of lower keys; with `itself` that
-- one is counted, where it is there.
local function members_before(set, low, key, job, itself)
  local high = low + redis.call('ZCOUNT', set, key, key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', set, middle, middle)[1]
    if before(member, job) or (itself and member == job) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local function lower_keys(set, key)
  return redis.call('ZCOUNT', set, '-inf', '(' .. key)
end

-- How many jobs of a queue come before (key, job). Remembers from which key on all do, as before most new jobs.
local function queued_before(queue, key, job, itself)
  local number = tonumber(key)
  if queue.all_below and number >= queue.all_below then
    return queue.size
  end
  local low = lower_keys(queue.set, key)
  if low == queue.size then
    queue.all_below = number
    return low
  end
  return members_before(queue.set, low, key, job, itself)
end

-- Tenant → band, of those that have another than 0.
local function bands_of(namespace)
  local flat, bands = redis.call('HGETALL', namespace .. ':band'), {}
  for n = 1, #flat, 2 do
    bands[flat[n]] = tonumber(flat[n + 1])
  end
  return bands
end

local function band_of(queue, bands)
  local _, pin, tenant = parts_of(queue)
  return tonumber(pin) or bands[tenant] or 0
end

-- {groups of {band, size, queues}, `by_name` queue name → {set, size, group}, size}
local function line_of(namespace, class, bands)
  local line, groups = {by_name = {}, size = 0}, {}
  local sizes = redis.call('HGETALL', namespace .. ':queues:' .. class)
  for n = 1, #sizes, 2 do
    local band = band_of(sizes[n], bands)
    local group = groups[band]
    if not group then
      group = {band = band, size = 0, queues = {}}
      groups[band] = group
      line[#line + 1] = group
    end
    local queue = {set = namespace .. ':q:' .. sizes[n], size = tonumber(sizes[n + 1]), group = group}
    group.queues[#group.queues + 1] = queue
    group.size, line.size = group.size + queue.size, line.size + queue.size
    line.by_name[sizes[n]] = queue
  end
  table.sort(line, function(one, other) return one.band < other.band end)
  return line
end

-- How many jobs of a group come before (key, job).
local function group_before(group, key, job, itself)
  local count = 0
  for _, queue in ipairs(group.queues) do
    count = count + queued_before(queue, key, job, itself)
  end
  return count
end

-- Place of a waiting job in its class, from 1; nothing when it does not wait there.
local function place_in(line, name, job)
  local queue = line.by_name[name]
  local place = queue and redis.call('ZRANK', queue.set, job)
  if not place then
    return nil
  end
  for _, group in ipairs(line) do
    if group.band < queue.group.band then
      place = place + group.size
    end
  end
  if #queue.group.queues > 1 then
    local key = redis.call('ZSCORE', queue.set, job)
    for _, other in ipairs(queue.group.queues) do
      if other ~= queue then
        place = place + queued_before(other, key, job)
      end
    end
  end
  return place + 1
end

-- How many of each queue are among the first `wanted` jobs of a group; at least `least` of each and at most `more`
-- beyond that. Each round takes a job out of the widest window: twice in three near where the cut should be, to either
-- side of it, else in the middle, so that the windows are sure to close.
local function cut(group, wanted, least, more)
  local low, high, round = {}, {}, 0
  for n, queue in ipairs(group.queues) do
    low[n] = least and least[n] or 0
    high[n] = math.min(queue.size, low[n] + more)
  end
  while true do
    local widest, below, open = 1, 0, 0
    for n = 1, #low do
      if high[n] - low[n] > high[widest] - low[widest] then
        widest = n
      end
      below, open = below + low[n], open + high[n] - low[n]
    end
    if open == 0 then
      return low
    end
    local width, share = high[widest] - low[widest], 0.5
    if round % 3 < 2 then
      share = (wanted - below) / open + (round % 3 * 2 - 1) / math.sqrt(width)
    end
    local middle = low[widest] + math.max(0, math.min(width - 1, math.floor(share * width)))
    local pivot = redis.call('ZRANGE', group.queues[widest].set, middle, middle, 'WITHSCORES')
    local ranks, sum = {}, 0
    for n, queue in ipairs(group.queues) do
      local rank = n == widest and middle or low[n]
      if n ~= widest and low[n] < high[n] then
        rank = math.max(low[n], math.min(high[n], queued_before(queue, pivot[2], pivot[1])))
      end
      ranks[n], sum = rank, sum + rank
    end
    if sum < wanted then
      low = ranks
      low[widest] = middle + 1
    else
      high = ranks
    end
    round = round + 1
  end
end

local function in_order(one, other)
  if one.number ~= other.number then
    return one.number < other.number
  end
  return before(one[1], other[1])
end

-- `count` jobs of a group behind its first `from`, in order: {job, key, band} each.
local function slice(group, from, count)
  local jobs, starts, ends = {}, {from}, {math.min(group.size, from + count)}
  if #group.queues > 1 then
    starts = cut(group, from, nil, from)
    ends = cut(group, ends[1], starts, count)
  end
  for n, queue in ipairs(group.queues) do
    if starts[n] < ends[n] then
      local found = redis.call('ZRANGE', queue.set, starts[n], ends[n] - 1, 'WITHSCORES')
      for at = 1, #found, 2 do
        jobs[#jobs + 1] = {found[at], found[at + 1], group.band, number = tonumber(found[at + 1])}
      end
    end
  end
  if #group.queues > 1 then
    table.sort(jobs, in_order)
  end
  return jobs
end

-- `count` jobs of a line behind its first `from`, as `slice` gives them.
local function stretch(line, from, count)
  local jobs = {}
  for _, group in ipairs(line) do
    if from < group.size and #jobs < count then
      for _, job in ipairs(slice(group, from, count - #jobs)) do
        jobs[#jobs + 1] = job
      end
    end
    from = math.max(0, from - group.size)
  end
  return jobs
end

-- Class → how many jobs wait in the classes before it.
local function jobs_before(namespace)
  local before_class, sum = {}, 0
  for n, count in ipairs(redis.call('HMGET', namespace .. ':waiting', unpack(CLASSES))) do
    before_class[CLASSES[n]] = sum
    sum = sum + (tonumber(count or 0) or 0)
  end
  return before_class
end

-- For each job {position, place in class, place in bucket, bucket}, all from 1; false for one that does not wait.
local function places_of(namespace, jobs)
  local places, lines, ahead, bands = {}, {}, jobs_before(namespace), bands_of(namespace)
  for n, job in ipairs(jobs) do
    local own, bucket = home(namespace, job)
    local queue = own and redis.call('HGET', namespace .. ':home', bucket) or ''
    local class = parts_of(queue)
    places[n] = false
    if class then
      lines[class] = lines[class] or line_of(namespace, class, bands)
      local in_class = place_in(lines[class], queue, job)
      local in_bucket = redis.call('ZRANK', namespace .. ':b:' .. bucket, job)
      if in_class and in_bucket then
        places[n] = {ahead[class] + in_class, in_class, in_bucket + 1, bucket}
      end
    end
  end
  return places
end

-- A waiting job whole: {bucket, parts as JSON, job, key, entry of `at`, band}; false for what disagrees.
local function row_of(namespace, job, key, bands)
  local entry = redis.call('HGET', namespace .. ':at', job)
  local bucket = string.match(entry or '', '^%a+:(%x+):') or ''
  local queue = redis.call('HGET', namespace .. ':home', bucket)
  local parts = redis.call('HGET', namespace .. ':bucket', bucket)
  if not queue or not parts or not parts_of(queue) then
    return {bucket, false, job, key or false, entry, 0}
  end
  key = key or redis.call('ZSCORE', namespace .. ':b:' .. bucket, job)
  return {bucket, parts, job, key, entry, band_of(queue, bands)}
end

-- {job, key, entry of `at`} of jobs and keys in turns, as ZRANGE WITHSCORES gives them.
local function members_of(namespace, found)
  local members = {}
  for n = 1, #found, 2 do
    members[#members + 1] = {found[n], found[n + 1], redis.call('HGET', namespace .. ':at', found[n])}
  end
  return members
end
