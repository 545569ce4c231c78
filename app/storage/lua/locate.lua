-- Where jobs stand.
--
-- KEYS[1]  namespace
-- ARGV[*]  jobs
-- RETURNS  for each {position, position in class, place in bucket, bucket}, or nil when it does not wait
-- FAILS    never
local namespace, places = KEYS[1], {}
local before = jobs_before(namespace)
for n, job in ipairs(ARGV) do
  places[n] = place_of(namespace, job, before)
end
return places
