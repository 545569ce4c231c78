-- Adds jobs to the queue, or moves them, and wakes the scheduler.
--
-- KEYS[1]  namespace
-- ARGV[1]  channel of the scheduler's bell
-- ARGV[2]  number of buckets
-- ARGV[*]  (bucket, class, parts as JSON) each, then (job, key, submitted, number of its bucket) each
-- RETURNS  for each ticket {position, position in class, place in bucket, bucket}, as of the end of this call
-- FAILS    never
local namespace = KEYS[1]
local jobs = add_tickets(namespace, ARGV, 2)
note_touched(namespace, jobs)
redis.call('PUBLISH', ARGV[1], '')
local before, places = jobs_before(namespace), {}
for n, job in ipairs(jobs) do
  places[n] = place_of(namespace, job, before)
end
return places
