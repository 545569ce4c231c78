-- Adds jobs to the index that is being built.
--
-- KEYS[1]  namespace
-- ARGV[1]  token of this rebuild
-- ARGV[2]  milliseconds after which it counts as abandoned unless it goes on
-- ARGV[3]  number of buckets
-- ARGV[*]  (bucket, class, parts as JSON) each, then (job, key, submitted, number of its bucket) each
-- RETURNS  1
-- FAILS    -1 when the token is another one or gone: a later rebuild took over, or the data were lost
local building = KEYS[1] .. ':next'
if redis.call('GET', building .. ':token') ~= ARGV[1] then
  return -1
end
redis.call('PEXPIRE', building .. ':token', ARGV[2])
add_tickets(building, ARGV, 3)
return 1
