#!lua flags=allow-oom
-- Renames two keys of a shard to their names of format 3.
--
-- KEYS owner, passed_on, reported, answered, replied
-- ARGV fence
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
if redis.call('EXISTS', KEYS.passed_on) == 1 then redis.call('RENAME', KEYS.passed_on, KEYS.reported) end
if redis.call('EXISTS', KEYS.answered) == 1 then redis.call('RENAME', KEYS.answered, KEYS.replied) end
return 0
