/**
 * What ingesters found out about the broker. Each check and each measurement of the queue replaces the one before; they are
 * stored apart, since different ingesters may write them at the same time.
 */
import { boundedWrite, type Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

/** The result of a check. */
export interface CheckRecord {
  /** ISO 8601, as all times of the record. */
  checked_at: string;
  /** How long the broker keeps the session of a lane that is not connected; null: for ever. */
  session_expiry_seconds: number | null;
  receive_maximum: number;
  /** In bytes; null: no limit. */
  maximum_packet_size: number | null;
  maximum_qos: number;
  retain_available: boolean;
  shared_subscriptions: boolean;
  wildcard_subscriptions: boolean;
  /** The keep-alive that the broker asks for; null: that of the client. */
  server_keep_alive_seconds: number | null;
  /** Whether the broker reports that nobody is subscribed to the topic of a publish (0x10); null: not known. */
  no_subscriber_signal: boolean | null;
  /** Whether a read of retained messages proves that a topic has none; null: not known. */
  absence_provable: boolean | null;
}

export interface BrokerRecord extends CheckRecord {
  /** How many messages the broker keeps for an absent session; null: not measured, or no limit was found. */
  queue_limit: number | null;
  /** null: not measured. */
  queue_measured_at: string | null;
}

/** The result of a measurement of the queue. */
export interface QueueRecord {
  /** null: no limit was found. */
  limit: number | null;
  measuredAt: string;
  /** Id of the run of the broker, as in `BrokerRuns`; null: not known. */
  brokerRun: string | null;
}

export class BrokerRecords {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /** @returns undefined before the first check of this key space */
  async read(): Promise<BrokerRecord | undefined> {
    const [check, queue] = await this.redis.hmget(this.keys.brokerCheck, 'check', 'queue');
    if (check == null) return undefined;
    const { limit, measuredAt } = queueOf(queue) ?? { limit: null, measuredAt: null };
    return { ...(JSON.parse(check) as CheckRecord), queue_limit: limit, queue_measured_at: measuredAt };
  }

  async save(check: CheckRecord): Promise<void> {
    await boundedWrite(this.redis, 'HSET', this.keys.brokerCheck, 'check', JSON.stringify(check));
  }

  async readQueue(): Promise<QueueRecord | undefined> {
    return queueOf(await this.redis.hget(this.keys.brokerCheck, 'queue'));
  }

  async saveQueue(queue: QueueRecord): Promise<void> {
    await boundedWrite(this.redis, 'HSET', this.keys.brokerCheck, 'queue', JSON.stringify(queue));
  }

  /** Id of the current run of the broker; null if no ingester has reported one, as on a broker that publishes no uptime. */
  async brokerRun(): Promise<string | null> {
    return (await this.redis.hget(this.keys.broker, 'run')) || null;
  }
}

function queueOf(text: string | null | undefined): QueueRecord | undefined {
  return text == null ? undefined : (JSON.parse(text) as QueueRecord);
}
