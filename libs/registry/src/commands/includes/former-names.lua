-- take_over_former_names(): makes ready what waits under the names of 0.1.0, makes claimed what its dispatchers had claimed, and
--   fences off their run. During an upgrade gateways of 0.1.0 may still write these names.
--
-- KEYS ready, claimed, former_ready, former_claimed, former_run

local function take_over_former_names()
  redis.call('DEL', KEYS.former_run)
  if redis.call('EXISTS', KEYS.former_ready) == 1 then
    redis.call('ZUNIONSTORE', KEYS.ready, 2, KEYS.ready, KEYS.former_ready, 'AGGREGATE', 'MIN')
    redis.call('DEL', KEYS.former_ready)
  end
  if redis.call('EXISTS', KEYS.former_claimed) == 1 then
    redis.call('SUNIONSTORE', KEYS.claimed, KEYS.claimed, KEYS.former_claimed)
    redis.call('DEL', KEYS.former_claimed)
  end
end
