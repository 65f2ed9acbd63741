import { DEFAULT_IN_TOPIC, DEFAULT_OUT_TOPIC, TopicTemplate, parseTopicTemplates } from '@app/protocol';
import { brokerSettings, brokerSettingsFit } from '@app/broker';
import { commonSettings, duration, integer, optionalInteger, parsed } from '@app/platform';
import { z } from 'zod';
import { accountSettings, accountSettingsFit } from './accounts/accounts.settings.js';

export const ingesterSettings = z
  .object({
    ...commonSettings,
    ...accountSettings,
    PORT: integer(3001, 0, 65_535),
    ...brokerSettings,
    /** Topics watched for connection state, comma-separated templates. */
    STATUS_TOPICS: parsed(DEFAULT_IN_TOPIC, parseTopicTemplates),
    /** Topic on which clients publish everything else. */
    IN_TOPIC: parsed(DEFAULT_IN_TOPIC, (text) => new TopicTemplate(text)),
    OUT_TOPIC: parsed(DEFAULT_OUT_TOPIC, (text) => new TopicTemplate(text)),
    /** Sessions that share the intake; more than one only where the broker is a cluster that hashes. */
    INTAKE_LANES: integer(1, 1, 64),
    /** Most unacknowledged packets of a lane. */
    INTAKE_WINDOW: integer(1000, 1, 65_535),
    /** Name of the shared subscription's group. A secret: random per installation unless set. */
    SHARE_GROUP: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, "_" or "-"')
      .optional(),
    /** Largest inbound payload; a larger one is set aside. */
    MAX_INBOUND_BYTES: integer(262_144, 1024, 16_777_216),
    /** Messages a second that one client may send for long; what is over it is acknowledged and not stored. */
    CLIENT_RATE: integer(50, 1, 1_000_000),
    /** Messages that one client may send at once, after a rest. */
    CLIENT_BURST: integer(1000, 1, 1_000_000),
    /** Bytes a second that one client may send for long, and four times as many at once, after a rest. */
    CLIENT_BYTES_RATE: integer(1_048_576, 1024, 1_073_741_824),
    /** Most entries waiting in a shard's mailbox; past it intake stops reading. */
    MAILBOX_LIMIT: integer(10_000, 1, 1_000_000),
    /** The same in bytes. */
    MAILBOX_BYTES: integer(16_777_216, 65_536, 1_099_511_627_776),
    /** Most finished messages that a shard keeps; past it the oldest are forgotten before their time. */
    SHARD_FINISHED_LIMIT: integer(100_000, 100, 100_000_000),
    /** The same in bytes; unset, computed from Redis' `maxmemory`. */
    SHARD_FINISHED_BYTES: optionalInteger(65_536, 1_099_511_627_776),
    /** How long a crashed ingester keeps its shards and lanes from the others. */
    LEASE_TIME: duration('6s', { min: '2s', max: '60s' }),
    /** Every client is compared with the broker this often. */
    SWEEP_INTERVAL: duration('1h', { min: '10s' }),
    /** After a restart of the broker a client must shake hands again within this, or is offline; 0 for not at all. */
    RECONFIRM_WINDOW: duration('0s'),
    /** How long a client that flaps must keep its state until subscribers are told; 0 for telling each change. */
    EVENT_SETTLE: duration('2s', { max: '60s' }),
    /** Events and dead letters are kept so long, within `EVENT_STREAM_BYTES`. */
    EVENT_RETENTION: duration('24h', { min: '1m' }),
    /** Bytes of a shard's events and dead letters; unset: 16 MiB, or a tenth of Redis' maxmemory by shards if that is less. */
    EVENT_STREAM_BYTES: optionalInteger(16_384, 17_179_869_184),
    /** Most clients whose retained message an ingester reads a second. */
    VERIFY_RATE: integer(5000, 1, 100_000),
    HANDSHAKE_RESPONSE: z.enum(['none', 'live']).default('none'),
    /** An offline connection is forgotten after this. */
    CONNECTION_RETENTION: duration('90d', { min: '1m' }),
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
