-- Which jobs the index does not hold.
--
-- KEYS[1]  namespace
-- ARGV[*]  jobs
-- RETURNS  those of them
-- FAILS    never
local absent = {}
for n, at in ipairs(redis.call('HMGET', KEYS[1] .. ':at', unpack(ARGV))) do
  if not at then
    absent[#absent + 1] = ARGV[n]
  end
end
return absent
