#!lua flags=allow-oom
-- Removes the index of facts of format 2.
--
-- KEYS owner, facts, account_prefix
-- ARGV fence, accounts...
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
redis.call('UNLINK', KEYS.facts)
for i = ARGV.accounts, #ARGV do redis.call('UNLINK', KEYS.account_prefix .. ARGV[i] .. ':facts') end
return 0
