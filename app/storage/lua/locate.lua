-- Where jobs stand.
--
-- KEYS[1]  namespace
-- ARGV[*]  jobs
-- RETURNS  for each {position, place in class, place in bucket, bucket}, or nil when it does not wait
-- FAILS    never
return places_of(KEYS[1], ARGV)
