/** Settings of outbound messages: how large one may be, how many may wait, how long they are kept. */
import { duration, integer, optionalInteger, parseMemoryMark, parsed, type CommonSettings } from '@app/platform';
import type { z } from 'zod';

export const messagesSettings = {
  /** Largest payload of an outbound message, as JSON text in bytes. */
  MAX_PAYLOAD_BYTES: integer(1_048_576, 1024, 16_777_216),
  /** Most arrays and objects of a payload that stand in each other. */
  MAX_PAYLOAD_DEPTH: integer(100, 1, 1000),
  /** Largest body of a batch of messages, in bytes. */
  MAX_BATCH_BYTES: integer(8_388_608, 1024, 268_435_456),
  /** Most unfinished messages of one connection. */
  OUTBOX_LIMIT: integer(1000, 1, 1_000_000),
  /** Most unfinished messages of all connections of one shard. */
  SHARD_OUTBOX_LIMIT: integer(100_000, 1, 100_000_000),
  /** Most bytes of the unfinished messages of one connection. */
  OUTBOX_BYTES: integer(16_777_216, 65_536, 1_099_511_627_776),
  /** The same of one shard; unset, computed from Redis' `maxmemory`. */
  SHARD_OUTBOX_BYTES: optionalInteger(65_536, 1_099_511_627_776),
  /** The same of one account, or of one key without an account; unset, a quarter of all shards'. */
  ACCOUNT_OUTBOX_BYTES: optionalInteger(65_536, 1_099_511_627_776),
  /** Past it no new message is stored: a share of Redis' `maxmemory`, or bytes. */
  MEMORY_HIGH_WATER: parsed('0.85', parseMemoryMark),
  /** How long an Idempotency-Key is remembered. */
  IDEMPOTENCY_RETENTION: duration('24h', { min: '1m', max: '30d' }),
  /** How long a message is kept after its end. */
  MESSAGE_RETENTION: duration('24h', { min: '1m' }),
};
export type MessagesSettings = z.output<z.ZodObject<typeof messagesSettings>> & CommonSettings;
