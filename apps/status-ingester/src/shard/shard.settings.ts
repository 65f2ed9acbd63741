/** Settings of what the shards answer, emit and keep. */
import { duration, integer, optionalBytes, section } from '@app/platform';
import { z } from 'zod';
import { memoryHighWater } from '@app/registry';
import type { ShardingSettings } from '../sharding/sharding.settings.js';
import type { TopicsSettings } from '../topics/topics.settings.js';

export const shardSettings = {
  ...section('Topics', {
    HANDSHAKE_RESPONSE: z
      .enum(['none', 'live'])
      .default('none')
      .describe('`live`: each accepted handshake is answered. `none`: refused ones only.'),
  }),
  ...section('Events', {
    EVENT_SETTLE: duration('2s', { max: '60s' }).describe(
      'How long a client that goes online and offline repeatedly must keep its state before the event is emitted. ' +
        '`0s`: every change is an event.',
    ),
    EVENT_RETENTION: duration('24h', { min: '1m' }).describe(
      'How long events and dead letters are kept, within `EVENT_STREAM_BYTES`.',
    ),
    EVENT_STREAM_BYTES: optionalBytes(16_384, 17_179_869_184).describe(
      "Size of a shard's events and dead letters: half for changes, a quarter for what clients say, an eighth each for refusals " +
        'and for dead letters. ' +
        'Unset: 16 MiB, or a tenth of `maxmemory` of Redis divided by `SHARD_COUNT` if that is less.',
    ),
  }),
  ...section('Answers of clients', {
    MEMORY_HIGH_WATER: memoryHighWater,
  }),
  ...section('Retention', {
    CONNECTION_RETENTION: duration('90d', { min: '1m' }).describe('How long an offline connection is kept.'),
    SHARD_FINISHED_LIMIT: integer(100_000, 100, 100_000_000).describe(
      'Most finished messages that one shard keeps. Above it the oldest are deleted before `MESSAGE_RETENTION`, with ' +
        'the answers to their Idempotency-Keys; first those of an account or key that has more than an eighth. Above ' +
        '0.95 of `maxmemory` of Redis a quarter is kept.',
    ),
    SHARD_FINISHED_BYTES: optionalBytes(65_536, 1_099_511_627_776).describe(
      'The same in bytes. Unset: 0.2 of `maxmemory` of Redis, divided by `SHARD_COUNT`; 128 MiB if Redis has no ' +
        '`maxmemory`.',
    ),
  }),
};
/** With the settings that it shares with other features. */
export type ShardSettings = z.output<z.ZodObject<typeof shardSettings>> & TopicsSettings & ShardingSettings;
