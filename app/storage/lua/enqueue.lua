-- Adds jobs to the queue, or moves them, and wakes the scheduler. While the index is rebuilt, the new one as well.
--
-- KEYS[1]  namespace
-- ARGV[1]  channel of the scheduler's bell
-- ARGV[2]  number of buckets
-- ARGV[*]  (queue, four times bucket and parts as JSON) each: the exact one, quarter octave, octave, mixed; then (job,
--          key, submitted, own class, demand as JSON, number of its bucket) each
-- RETURNS  for each ticket {position, place in class, place in bucket, bucket}, as of the end of this call
-- FAILS    never
local namespace = KEYS[1]
local jobs = add_tickets(namespace, ARGV, 2, {})
local building = beside(namespace, jobs)
if building then
  add_tickets(building, ARGV, 2, {})
end
redis.call('PUBLISH', ARGV[1], '')
return places_of(namespace, jobs)
