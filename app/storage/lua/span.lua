-- The jobs around a key of one class and band, half of them before it.
--
-- KEYS[1]  namespace
-- ARGV[1]  class
-- ARGV[2]  band
-- ARGV[3]  key
-- ARGV[4]  how many; fewer where the band begins or ends
-- RETURNS  {job, key, entry of `at`} each, in order
-- FAILS    never
local namespace = KEYS[1]
local band, half = tonumber(ARGV[2]), math.floor(tonumber(ARGV[4]) / 2)
local found = {}
for _, group in ipairs(line_of(namespace, ARGV[1], bands_of(namespace))) do
  if group.band == band then
    local middle = group_before(group, ARGV[3], '')
    local from, to = math.max(0, middle - half), middle + tonumber(ARGV[4]) - half
    for _, job in ipairs(slice(group, from, to - from)) do
      found[#found + 1] = job[1]
      found[#found + 1] = job[2]
    end
  end
end
return members_of(namespace, found)
