/** Settings of outbound messages: their size, how many may wait, how long they are kept. */
import { bytes, duration, integer, optionalBytes, optionalInteger, section, type CommonSettings } from '@app/platform';
import { memoryHighWater } from '@app/registry';
import type { z } from 'zod';
import type { WaitLimits } from './waits.js';

export const messagesSettings = {
  ...section('Size of requests', {
    MAX_PAYLOAD_BYTES: bytes(1_048_576, 1024, 16_777_216).describe(
      'Largest payload of a message, as the JSON text that the caller wrote; above it 413.',
    ),
    MAX_PAYLOAD_DEPTH: integer(100, 1, 1000).describe('Deepest nesting of a payload; above it 422.'),
    MAX_BATCH_BYTES: bytes(8_388_608, 1024, 268_435_456).describe('Largest body of a batch of messages; above it 413.'),
  }),
  ...section('Unfinished messages', {
    OUTBOX_LIMIT: integer(1000, 1, 1_000_000).describe('Most unfinished messages of one client; above it 429.'),
    OUTBOX_BYTES: bytes(16_777_216, 65_536, 1_099_511_627_776).describe(
      'The same in bytes. A message counts its payload, directive and Idempotency-Key, and 1 KiB more.',
    ),
    SHARD_OUTBOX_LIMIT: integer(100_000, 1, 100_000_000).describe(
      'Most unfinished messages of all clients of one shard; above it 429.',
    ),
    SHARD_OUTBOX_BYTES: optionalBytes(65_536, 1_099_511_627_776).describe(
      'The same in bytes. One account or key may take half of it. Unset: 0.4 of `maxmemory` of Redis, divided by ' +
        '`SHARD_COUNT`; 256 MiB if Redis has no `maxmemory`.',
    ),
    ACCOUNT_OUTBOX_BYTES: optionalBytes(65_536, 1_099_511_627_776).describe(
      'Most bytes of unfinished messages of one account, or of one key without an account, on all shards; above it ' +
        '429. Unset: a quarter of what all shards may take.',
    ),
    MEMORY_HIGH_WATER: memoryHighWater,
  }),
  ...section('Waiting requests', {
    WAITING_REQUESTS: optionalInteger(0, 1_000_000).describe(
      'Most requests with `Prefer: wait=N` that wait at one gateway; further ones are answered at once. Unset: half of ' +
        '`MAX_CONNECTIONS`.',
    ),
    WAITING_REQUESTS_PER_KEY: integer(1000, 1, 1_000_000).describe('The same for one key or token subject.'),
  }),
  ...section('Retention', {
    MESSAGE_RETENTION: duration('24h', { min: '1m' }).describe(
      'How long a finished message can still be read. After it was set to a shorter time, messages of an account or key may be kept ' +
        'until the earlier ones of the same account or key are deleted.',
    ),
    IDEMPOTENCY_RETENTION: duration('24h', { min: '1m', max: '30d' }).describe(
      'How long an `Idempotency-Key` is remembered. It is forgotten earlier if its message is: see ' +
        '`SHARD_FINISHED_LIMIT`.',
    ),
  }),
};
export type MessagesSettings = z.output<z.ZodObject<typeof messagesSettings>> & CommonSettings;

/** Part of the connections that may wait. */
const WAITING_PART = 2;

export function waitLimits(settings: MessagesSettings): WaitLimits {
  const { WAITING_REQUESTS, WAITING_REQUESTS_PER_KEY: perCaller, MAX_CONNECTIONS } = settings;
  return { total: WAITING_REQUESTS ?? Math.floor(MAX_CONNECTIONS / WAITING_PART), perCaller };
}
