#!lua flags=allow-oom
-- The newest messages of clients.
--
-- KEYS messages_prefix
-- ARGV count, oldest, clients...
--   count: how many of each client
--   oldest: when the oldest of them was accepted, in microseconds; `-inf` for all
-- Reply: for each client, message id and time of acceptance in turn

local reply = {}
for i = ARGV.clients, #ARGV do
  reply[#reply + 1] = redis.call(
    'ZRANGE', KEYS.messages_prefix .. ARGV[i], '+inf', ARGV.oldest, 'BYSCORE', 'REV', 'LIMIT', 0, ARGV.count, 'WITHSCORES'
  )
end
return reply
