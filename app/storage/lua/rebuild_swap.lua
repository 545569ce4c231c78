-- Puts the index that was built in the place of the live one, at once. Jobs that were added or removed since the
-- rebuild began are taken over as the live index has them. The epoch is set last, then the scheduler is woken.
--
-- KEYS[1]  namespace
-- ARGV[1]  token of this rebuild; becomes the epoch
-- ARGV[2]  channel of the scheduler's bell
-- RETURNS  how many jobs the index holds
-- FAILS    -1 when the token is another one or gone: a later rebuild took over, or the data were lost
local namespace, building = KEYS[1], KEYS[1] .. ':next'
if redis.call('GET', building .. ':token') ~= ARGV[1] then
  return -1
end

for _, job in ipairs(redis.call('SMEMBERS', building .. ':touched')) do
  remove(building, job)
  local class, bucket = home(namespace, job)
  if class then
    local key = redis.call('ZSCORE', namespace .. ':q:' .. class, job)
    local submitted = redis.call('ZSCORE', namespace .. ':o:' .. class, job)
    local parts = redis.call('HGET', namespace .. ':bucket', bucket)
    add_tickets(building, {1, bucket, class, parts, job, key, submitted, 1}, 1)
  end
end

drop(namespace)

local function move(name)
  if redis.call('EXISTS', building .. name) == 1 then
    redis.call('RENAME', building .. name, namespace .. name)
  end
end

for _, bucket in ipairs(redis.call('HKEYS', building .. ':bucket')) do
  move(':b:' .. bucket)
end
for _, class in ipairs(CLASSES) do
  move(':q:' .. class)
  move(':o:' .. class)
end
move(':bucket')
move(':at')
redis.call('UNLINK', building .. ':token', building .. ':touched')
redis.call('SET', namespace .. ':epoch', ARGV[1])
redis.call('PUBLISH', ARGV[2], '')
return redis.call('HLEN', namespace .. ':at')
