-- A part of the whole order: the classes one after the other, each by key and id.
--
-- KEYS[1]  namespace
-- ARGV[1]  offset, from 0
-- ARGV[2]  how many at most
-- RETURNS  {job, key} each
-- FAILS    never
local namespace, members = KEYS[1], {}
local skip, left = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, class in ipairs(CLASSES) do
  local queue = namespace .. ':q:' .. class
  local size = redis.call('ZCARD', queue)
  if left > 0 and skip < size then
    local found = redis.call('ZRANGE', queue, skip, skip + left - 1, 'WITHSCORES')
    for n = 1, #found, 2 do
      members[#members + 1] = {found[n], found[n + 1]}
      left = left - 1
    end
  end
  skip = math.max(0, skip - size)
end
return members
