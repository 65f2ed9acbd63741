#!lua flags=allow-oom
-- Marks clients whose account is being requested, if they have a known one.
--
-- KEYS owner, accounts, accounts_asked
-- ARGV fence, clients...
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
for i = ARGV.clients, #ARGV do
  if redis.call('HEXISTS', KEYS.accounts, ARGV[i]) == 1 then redis.call('SADD', KEYS.accounts_asked, ARGV[i]) end
end
return 0
