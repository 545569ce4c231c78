-- Adds jobs to the index that is being built, but those that were touched since: there it has newer word of them.
--
-- KEYS[1]  namespace
-- ARGV[1]  token of this rebuild
-- ARGV[2]  milliseconds after which it counts as abandoned unless it goes on
-- ARGV[3]  number of buckets
-- ARGV[*]  (queue, four times bucket and parts as JSON) each: the exact one, quarter octave, octave, mixed; then (job,
--          key, submitted, own class, demand as JSON, number of its bucket) each
-- RETURNS  1
-- FAILS    -1 when the token is another one or gone: a later rebuild took over, or the data were lost
local building = KEYS[1] .. ':next'
if redis.call('GET', building .. ':token') ~= ARGV[1] then
  return -1
end
redis.call('PEXPIRE', building .. ':token', ARGV[2])
local touched = {}
if redis.call('EXISTS', building .. ':touched') == 1 then
  for at = 4 + 9 * tonumber(ARGV[3]), #ARGV, 6 do
    touched[ARGV[at]] = redis.call('SISMEMBER', building .. ':touched', ARGV[at]) == 1
  end
end
add_tickets(building, ARGV, 3, touched)
return 1
