import { DEFAULT_IN_TOPIC, DEFAULT_OUT_TOPIC, TopicTemplate, parseTopicTemplates } from '@app/protocol';
import { brokerSettings, brokerSettingsFit } from '@app/broker';
import { bytes, commonSettings, duration, integer, optionalBytes, parsed, section } from '@app/platform';
import { z } from 'zod';
import { accountSettings, accountSettingsFit } from './accounts/accounts.settings.js';

export const ingesterSettings = z
  .object({
    ...commonSettings,
    ...brokerSettings,
    ...section('HTTP', {
      PORT: integer(3001, 0, 65_535).describe('Port to listen on, for health and metrics.'),
    }),
    ...section('Topics', {
      STATUS_TOPICS: parsed(DEFAULT_IN_TOPIC, parseTopicTemplates).describe(
        'Topics that carry the state of connections: one template, or several separated by commas.',
      ),
      IN_TOPIC: parsed(DEFAULT_IN_TOPIC, (text) => new TopicTemplate(text)).describe(
        'Topic on which clients publish everything else.',
      ),
      OUT_TOPIC: parsed(DEFAULT_OUT_TOPIC, (text) => new TopicTemplate(text)).describe(
        'Topic to which answers to a client are published; clients subscribe to it. The same as that of the dispatcher.',
      ),
      SHARE_GROUP: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, "_" or "-"')
        .optional()
        .describe(
          'Name of the shared subscription, 1 to 64 letters, digits, `_` or `-`. It is a secret. Unset: a random name, ' +
            'kept in Redis. [Set it in production](operations.md#settings-that-matter).',
        ),
      HANDSHAKE_RESPONSE: z
        .enum(['none', 'live'])
        .default('none')
        .describe('`live`: each accepted handshake is answered. `none`: refused ones only.'),
    }),
    ...section('Intake', {
      INTAKE_LANES: integer(1, 1, 64).describe(
        'Number of MQTT sessions that share the intake. Leave it at 1, see ' +
          '[ADR 0002](adr/0002-intake-through-lanes.md). When it is lowered, surplus lanes are emptied and ended.',
      ),
      INTAKE_WINDOW: integer(1000, 1, 65_535).describe(
        'Most unacknowledged packets of a lane; not above `MAILBOX_LIMIT`. A lane also stops reading at 32 MiB of them.',
      ),
      MAX_INBOUND_BYTES: bytes(262_144, 1024, 16_777_216).describe(
        'Largest payload of a client. A larger one becomes a dead letter.',
      ),
      MAILBOX_LIMIT: integer(10_000, 1, 1_000_000).describe(
        'Number of entries in a mailbox above which the lanes stop reading.',
      ),
      MAILBOX_BYTES: bytes(16_777_216, 65_536, 1_099_511_627_776).describe('The same in bytes.'),
    }),
    ...section('Client rate limit', {
      CLIENT_RATE: integer(50, 1, 1_000_000).describe(
        'Messages a second that one client may send in the long run. What is above it is acknowledged to the broker ' +
          'and dropped, see [ADR 0018](adr/0018-a-client-is-cut-to-its-share.md).',
      ),
      CLIENT_BURST: integer(1000, 1, 1_000_000).describe('Messages that one client may send at once after a pause.'),
      CLIENT_BYTES_RATE: bytes(1_048_576, 1024, 1_073_741_824).describe(
        'Bytes a second that one client may send in the long run, and four times as many (or one message of ' +
          '`MAX_INBOUND_BYTES`) at once. A larger message counts as one of `MAX_INBOUND_BYTES`.',
      ),
    }),
    ...section('Shards and lanes', {
      LEASE_TIME: duration('6s', { min: '2s', max: '60s' }).describe(
        'How long the shards and lanes of a crashed ingester wait before another ingester takes them.',
      ),
    }),
    ...section('Reconciliation with the broker', {
      SWEEP_INTERVAL: duration('1h', { min: '10s' }).describe(
        'How often all clients are compared with what the broker retains. A sweep also runs after each start and after ' +
          'each possible loss of data.',
      ),
      VERIFY_RATE: integer(5000, 1, 100_000).describe(
        'Most clients a second whose retained message one ingester reads from the broker.',
      ),
      RECONFIRM_WINDOW: duration('0s').describe(
        'How long after a restart of the broker a client has to shake hands again; after it the client is offline, ' +
          '`unconfirmed`. `0s`: it need not. See [What a broker forgets](agreement.md#what-a-broker-forgets).',
      ),
    }),
    ...accountSettings,
    ...section('Events', {
      EVENT_SETTLE: duration('2s', { max: '60s' }).describe(
        'How long a client that goes online and offline repeatedly must keep its state before the event is emitted. ' +
          '`0s`: every change is an event.',
      ),
      EVENT_RETENTION: duration('24h', { min: '1m' }).describe(
        'How long events and dead letters are kept, within `EVENT_STREAM_BYTES`.',
      ),
      EVENT_STREAM_BYTES: optionalBytes(16_384, 17_179_869_184).describe(
        "Size of a shard's events and dead letters: half for changes, an eighth each for refusals and for dead letters. " +
          'Unset: 16 MiB, or a tenth of `maxmemory` of Redis divided by `SHARD_COUNT` if that is less.',
      ),
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
  })
  .superRefine(brokerSettingsFit)
  .superRefine(accountSettingsFit)
  .refine((settings) => settings.INTAKE_WINDOW <= settings.MAILBOX_LIMIT, {
    path: ['INTAKE_WINDOW'],
    error: 'must not be larger than MAILBOX_LIMIT, or a full window would never fit',
  });
export type IngesterSettings = z.output<typeof ingesterSettings>;

/** Status topics, and the one for everything else if it is not among them. */
export function topicsOfClients({ STATUS_TOPICS, IN_TOPIC }: IngesterSettings): readonly TopicTemplate[] {
  const isStatus = STATUS_TOPICS.some(({ template }) => template === IN_TOPIC.template);
  return isStatus ? STATUS_TOPICS : [...STATUS_TOPICS, IN_TOPIC];
}
