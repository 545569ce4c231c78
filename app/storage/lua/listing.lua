-- Waiting jobs in the whole order, behind a point of it.
--
-- KEYS[1]  namespace
-- ARGV[1]  how many at most
-- ARGV[2]  rank of a class, 0 the most urgent
-- ARGV[3]  band
-- ARGV[4]  key
-- ARGV[5]  job, which with the class, the band and the key makes the point
-- RETURNS  {bucket, parts as JSON, job, key, entry of `at`, band} each
-- FAILS    never
local namespace, rows = KEYS[1], {}
local most, rank, band = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bands = bands_of(namespace)
for n = math.max(rank, 0), #CLASSES - 1 do
  if #rows < most then
    local line, from = line_of(namespace, CLASSES[n + 1], bands), 0
    for _, group in ipairs(n == rank and line or {}) do
      if group.band < band then
        from = from + group.size
      elseif group.band == band then
        from = from + group_before(group, ARGV[4], ARGV[5], true)
      end
    end
    for _, found in ipairs(stretch(line, from, most - #rows)) do
      rows[#rows + 1] = row_of(namespace, found[1], found[2], bands)
    end
  end
end
return rows
