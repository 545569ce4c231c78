-- Between which jobs of a class a job would stand at a place of it, the job itself taken out first.
--
-- KEYS[1]  namespace
-- ARGV[1]  class
-- ARGV[2]  place in it, from 1; beyond its end means its end
-- ARGV[3]  job
-- RETURNS  {key of the one before or nil, key of the one behind or nil, band, jobs of the class with this one}: the band
--          is that of the one now at the place, else of the last; a neighbour of another band counts as none
-- FAILS    never
local namespace = KEYS[1]
local bands = bands_of(namespace)
local line = line_of(namespace, ARGV[1], bands)
local _, bucket = home(namespace, ARGV[3])
local queue = bucket and redis.call('HGET', namespace .. ':home', bucket) or ''
local own = place_in(line, queue, ARGV[3])
local others = line.size - (own and 1 or 0)
local place = math.max(1, math.min(tonumber(ARGV[2]), others + 1))

local ahead, there
local first = math.max(1, place - 1)
for n, job in ipairs(stretch(line, first - 1, 3)) do
  local at = first + n - 1
  if at ~= own then
    local among_others = own and at > own and at - 1 or at
    ahead = among_others == place - 1 and job or ahead
    there = among_others == place and job or there
  end
end
local band = parts_of(queue) and band_of(queue, bands) or 0
if there or ahead then
  band = (there or ahead)[3]
end
return {ahead and ahead[3] == band and ahead[2] or false, there and there[2] or false, band, line.size}
