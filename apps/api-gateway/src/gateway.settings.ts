import { commonSettings, duration, integer, optionalInteger, parseMemoryMark, parsed } from '@app/platform';
import { z } from 'zod';
import { accessSettings, accessSettingsFit } from './access/access.settings.js';

export const gatewaySettings = z
  .object({
    ...commonSettings,
    ...accessSettings,
    PORT: integer(3000, 0, 65_535),
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
    /** How long a caller waits for a shard's owner to answer a command. */
    COMMAND_TIMEOUT: duration('2s', { min: '100ms', max: '30s' }),
    /** Most event streams open at a time. */
    EVENT_STREAMS: integer(1000, 1, 100_000),
    /** Most of them that one key or token subject has open at one gateway. */
    EVENT_STREAMS_PER_KEY: integer(20, 1, 100_000),
    /** Most bytes of events that are kept for a subscriber that has not taken them; past it, it reads by itself. */
    EVENT_BUFFER_BYTES: integer(1_048_576, 65_536, 268_435_456),
    /** The same, of all subscribers together. */
    EVENT_BUFFER_TOTAL: integer(134_217_728, 1_048_576, 17_179_869_184),
    /** How often an event stream shows that it lives. */
    EVENT_HEARTBEAT: duration('15s', { min: '100ms', max: '5m' }),
    /** Most commands waiting in a shard's mailbox; past it they are refused. */
    MAILBOX_LIMIT: integer(10_000, 1, 1_000_000),
    /** The same in bytes. */
    MAILBOX_BYTES: integer(16_777_216, 65_536, 1_099_511_627_776),
  })
  .superRefine(accessSettingsFit);
export type GatewaySettings = z.output<typeof gatewaySettings>;
