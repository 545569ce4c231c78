-- Waiting jobs by their ids.
--
-- KEYS[1]  namespace
-- ARGV[*]  jobs
-- RETURNS  {bucket, parts as JSON, job, key, entry of `at`, band} of each that waits
-- FAILS    never
local namespace, rows = KEYS[1], {}
local bands = bands_of(namespace)
for _, job in ipairs(ARGV) do
  if home(namespace, job) then
    rows[#rows + 1] = row_of(namespace, job, nil, bands)
  end
end
return rows
