-- Begins to build the index anew beside the live one. What an earlier rebuild left is dropped, and if one is under
-- way it loses its token: its next call fails.
--
-- KEYS[1]  namespace
-- ARGV[1]  token of this rebuild
-- ARGV[2]  milliseconds after which it counts as abandoned unless it goes on
-- RETURNS  1
-- FAILS    never
local building = KEYS[1] .. ':next'
drop(building)
redis.call('UNLINK', building .. ':touched')
redis.call('SET', building .. ':token', ARGV[1], 'PX', ARGV[2])
return 1
