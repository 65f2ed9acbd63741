import { commonSettings, duration, integer, optionalInteger, parseMemoryMark, parsed } from '@app/platform';
import { z } from 'zod';
import { accessSettings, accessSettingsFit } from './access/access.settings.js';
import type { BodyLimits } from './http/body-budget.js';

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
    /** Most bytes of bodies that one gateway has in hand. Unset: 64 MiB, or what the largest body needs. */
    BODY_BYTES_TOTAL: optionalInteger(1024, 17_179_869_184),
    /** Most of them that one key or token subject has there. Unset: half of it, or what the largest body needs. */
    BODY_BYTES_PER_KEY: optionalInteger(1024, 17_179_869_184),
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
  .superRefine(accessSettingsFit)
  .superRefine(bodiesFit);
export type GatewaySettings = z.output<typeof gatewaySettings>;

/** Room for the members of a request beside its payload. */
export const BODY_ROOM = 8192;
const BODY_BYTES = 67_108_864;

type BodySettings = Pick<
  GatewaySettings,
  'MAX_PAYLOAD_BYTES' | 'MAX_BATCH_BYTES' | 'BODY_BYTES_TOTAL' | 'BODY_BYTES_PER_KEY'
>;

export function bodyLimits(settings: BodySettings): BodyLimits {
  const largest = largestBody(settings);
  const total = settings.BODY_BYTES_TOTAL ?? Math.max(BODY_BYTES, largest, settings.BODY_BYTES_PER_KEY ?? 0);
  const perCaller = settings.BODY_BYTES_PER_KEY ?? Math.max(Math.floor(total / 2), Math.min(largest, total));
  return { total, perCaller };
}

function largestBody({ MAX_PAYLOAD_BYTES, MAX_BATCH_BYTES }: BodySettings): number {
  return Math.max(MAX_PAYLOAD_BYTES + BODY_ROOM, MAX_BATCH_BYTES);
}

/** A body that is allowed must fit into what may be in hand, or it would be refused for ever. */
function bodiesFit(settings: BodySettings, ctx: z.RefinementCtx): void {
  const largest = largestBody(settings);
  const limits = bodyLimits(settings);
  const wrong = (name: string, message: string): void => ctx.addIssue({ code: 'custom', path: [name], message });
  if (limits.total < largest) wrong('BODY_BYTES_TOTAL', `must be ${largest} at least, the largest body of a request`);
  else if (limits.perCaller < largest) {
    wrong('BODY_BYTES_PER_KEY', `must be ${largest} at least, the largest body of a request`);
  } else if (limits.perCaller > limits.total) wrong('BODY_BYTES_PER_KEY', 'must not be above BODY_BYTES_TOTAL');
}
