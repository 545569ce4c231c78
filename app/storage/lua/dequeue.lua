-- Removes jobs from the queue; while the index is rebuilt, from the new one as well.
--
-- KEYS[1]  namespace
-- ARGV[*]  jobs
-- RETURNS  how many of them were there
-- FAILS    never
local namespace, removed = KEYS[1], 0
local building = beside(namespace, ARGV)
for _, job in ipairs(ARGV) do
  removed = removed + remove(namespace, job)
  if building then
    remove(building, job)
  end
end
return removed
