-- The overdue: those that wait longer than the patience of the class that was asked for, by when that ran out and id.
--
-- KEYS[1]  namespace
-- ARGV[1]  now, on the scale of submission times
-- ARGV[2]  how many at most
-- ARGV[3]  patience of urgent jobs
-- ARGV[4]  patience of high ones
-- ARGV[5]  patience of normal ones
-- ARGV[6]  patience of low ones
-- RETURNS  {bucket, parts as JSON, job, key, entry of `at`, band} each
-- FAILS    never
local namespace, overdue, rows = KEYS[1], {}, {}
local now, most = tonumber(ARGV[1]), tonumber(ARGV[2])
for n, class in ipairs(CLASSES) do
  local patience = tonumber(ARGV[n + 2])
  local latest = string.format('%.17g', now - patience + 1)
  local set = namespace .. ':o:' .. class
  local found = redis.call('ZRANGEBYSCORE', set, '-inf', latest, 'WITHSCORES', 'LIMIT', 0, most)
  for at = 1, #found, 2 do
    local due = tonumber(found[at + 1]) + patience
    if due <= now then
      overdue[#overdue + 1] = {job = found[at], due = due}
    end
  end
end
table.sort(overdue, function(one, other)
  if one.due ~= other.due then
    return one.due < other.due
  end
  return before(one.job, other.job)
end)
local bands = bands_of(namespace)
for n = 1, math.min(most, #overdue) do
  rows[n] = row_of(namespace, overdue[n].job, nil, bands)
end
return rows
