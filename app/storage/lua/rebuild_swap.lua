-- Puts the index that was built in the place of the live one, at once. What was added or removed since the rebuild
-- began is in it. The epoch is set last, then the scheduler is woken.
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
drop(namespace)

for _, name in ipairs(keys_of(building)) do
  if redis.call('EXISTS', building .. name) == 1 then
    redis.call('RENAME', building .. name, namespace .. name)
  end
end
redis.call('UNLINK', building .. ':token', building .. ':touched')
redis.call('SET', namespace .. ':epoch', ARGV[1])
redis.call('PUBLISH', ARGV[2], '')
return redis.call('HLEN', namespace .. ':at')
