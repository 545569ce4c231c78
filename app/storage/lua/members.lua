-- The first so many members of buckets. Of a mixed bucket, whose members are alike in nothing, the first one and so
-- many less one from where the last call ended, around its end if need be; in order.
--
-- KEYS[1]  namespace
-- ARGV[*]  (bucket, how many) each
-- RETURNS  for each {job, key, entry of `at`} of its members
-- FAILS    never
local namespace, answer = KEYS[1], {}

local function read(set, from, to)
  return redis.call('ZRANGE', set, from, to, 'WITHSCORES')
end

-- `others`: members but the first; `more`: how many of these are wanted, fewer than there are.
local function in_turn(bucket, set, others, more)
  local start, cursor = 1, redis.call('HGET', namespace .. ':cursor', bucket)
  local key, job = string.match(cursor or '', '^(%S+) (.*)$')
  if key then
    start = members_before(set, lower_keys(set, key), key, job, true)
  end
  if start < 1 or start > others then
    start = 1
  end
  local last = start + more - 1
  local around = math.max(0, last - others)
  local found, rest = read(set, 0, around), read(set, start, math.min(last, others))
  local ended = around > 0 and found or rest
  redis.call('HSET', namespace .. ':cursor', bucket, ended[#ended] .. ' ' .. ended[#ended - 1])
  for _, value in ipairs(rest) do
    found[#found + 1] = value
  end
  return found
end

for n = 1, #ARGV, 2 do
  local bucket, wanted = ARGV[n], tonumber(ARGV[n + 1])
  local set = namespace .. ':b:' .. bucket
  local parts = redis.call('HGET', namespace .. ':bucket', bucket) or ''
  local others = redis.call('ZCARD', set) - 1
  local found
  if string.find(parts, '"resolution":3', 1, true) and wanted > 1 and wanted - 1 < others then
    found = in_turn(bucket, set, others, wanted - 1)
  else
    found = read(set, 0, wanted - 1)
  end
  answer[#answer + 1] = members_of(namespace, found)
end
return answer
