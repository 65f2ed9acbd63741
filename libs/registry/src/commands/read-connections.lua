#!lua flags=allow-oom
-- KEYS connections
-- ARGV bytes, clients...
-- Reply: the records of the first of the clients, until they have so many bytes

local left, texts = tonumber(ARGV.bytes), {}
for i = ARGV.clients, #ARGV do
  local text = redis.call('HGET', KEYS.connections, ARGV[i])
  texts[#texts + 1] = text
  left = left - (text and #text or 0)
  if left <= 0 then break end
end
return texts
