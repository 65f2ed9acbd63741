#!lua flags=allow-oom
-- From now on the accept script claims nothing for the owner of a shard's outbound side, which is about to release its lease.
--
-- KEYS outbound_owner, outbound_closing
-- ARGV fence, most_ms
--   most_ms: after this time the owner has released its lease, or it has ended
-- Reply: 1, or 0 if the caller is not the owner

if redis.call('GET', KEYS.outbound_owner) ~= ARGV.fence then return 0 end
redis.call('SET', KEYS.outbound_closing, 1, 'PX', ARGV.most_ms)
return 1
