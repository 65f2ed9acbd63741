/**
 * Format 2 keeps the sizes and the sequence of a shard's streams in a hash. What 0.1.0 appended is taken over: its ids
 * are times of Redis' clock, so the sequence goes on behind the newest of them.
 */
import { RedisScript } from '@app/platform';
import { LOG_LUA } from '@app/sharding';
import { logStreams } from '../events/event-log.js';
import type { MigrationStep } from './migration-step.js';

/**
 * KEYS log, streams … · ARGV name of each stream. 0.1.0 kept 10,000 events of a shard and 1,000 dead letters, so that
 * one script can read them all. Repeated, it comes to the same.
 */
const takeOverScript = new RedisScript<string>(
  'ccTakeOverEvents',
  `${LOG_LUA}
   local id = log_raise(KEYS[1])
   for i = 2, #KEYS do
     local name, bytes = ARGV[i - 1], 0
     local entries = redis.call('XRANGE', KEYS[i], '-', '+')
     for _, entry in ipairs(entries) do bytes = bytes + log_size(entry[2]) end
     redis.call('HSET', KEYS[1], 'bytes:' .. name, bytes)
     if #entries > 0 then
       local info = redis.call('XINFO', 'STREAM', KEYS[i])
       for j = 1, #info, 2 do
         if info[j] == 'entries-added' and info[j + 1] > #entries then
           local ms, seq = log_parse(entries[1][1])
           if seq > 0 then ms, seq = ms, seq - 1 else ms, seq = ms - 1, 0 end
           redis.call('HSET', KEYS[1], 'trimmed:' .. name, log_id(ms, seq))
         end
       end
       local ms, seq = log_parse(entries[#entries][1])
       if ms >= log_ms then log_ms, log_seq = ms, math.max(log_seq, seq) end
     end
   end
   redis.call('HSET', KEYS[1], 'last', log_id(log_ms, log_seq), 'since', '0-0')
   return id`,
);

export const STREAMS_OF_EVENTS: MigrationStep = {
  to: 2,
  what: 'streams of events and dead letters',
  run: async (redis, keys, { index }) => {
    const streams = logStreams(keys, index);
    await takeOverScript.run(
      redis,
      [keys.log(index), ...streams.map(({ key }) => key)],
      streams.map(({ name }) => name),
    );
  },
};
