#!lua flags=allow-oom
-- Reads records of connections, as many as have about the given number of bytes together, but at least one.
--
-- KEYS connections
-- ARGV bytes, clients...
-- Reply: the records of the first clients, in the order of the ids; nil for a client without one

local left, texts = tonumber(ARGV.bytes), {}
for i = ARGV.clients, #ARGV do
  local text = redis.call('HGET', KEYS.connections, ARGV[i])
  texts[#texts + 1] = text
  left = left - (text and #text or 0)
  if left <= 0 then break end
end
return texts
