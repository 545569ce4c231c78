-- Removes jobs from the queue.
--
-- KEYS[1]  namespace
-- ARGV[*]  jobs
-- RETURNS  how many of them were there
-- FAILS    never
local namespace, removed = KEYS[1], 0
for _, job in ipairs(ARGV) do
  removed = removed + remove(namespace, job)
end
note_touched(namespace, ARGV)
return removed
