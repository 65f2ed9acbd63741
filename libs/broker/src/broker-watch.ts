/**
 * Subscribes to the statistics of the broker, if it publishes them (`$SYS/broker/…`, as Mosquitto does): its uptime and its
 * number of dropped messages. Reconnects automatically.
 */
import type { MqttClient } from 'mqtt';
import { Sampled, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { ERROR_EVERY_MS, openMqtt, refusedTopic } from './mqtt-connection.js';
import { UptimeProof, type Uptime } from './uptime-proof.js';

export const UPTIME = '$SYS/broker/uptime';
export const DROPPED = '$SYS/broker/publish/messages/dropped';

export interface BrokerListener {
  /** Receives an uptime that an earlier report confirms. */
  uptime(uptime: Uptime): void;
  /** Receives how many messages the broker has dropped since the last report: some may have been for this service. */
  dropped(messages: number): void;
}

export class BrokerWatch {
  private readonly client: MqttClient;
  private readonly proof = new UptimeProof();
  private lastDropped: number | undefined;

  constructor(access: BrokerAccess, clientId: string, listener: BrokerListener, logger: Logger) {
    this.client = openMqtt(access, { clientId, clean: true, reconnectPeriod: 1000, resubscribe: false });
    this.client.on('connect', () => {
      this.proof.connected();
      this.client.subscribe([UPTIME, DROPPED], { qos: 0 }, (error, grants) => {
        if (error != null || refusedTopic(grants ?? []) !== undefined) {
          logger.warn(
            { err: error, mqtt_client_id: clientId, topics: [UPTIME, DROPPED] },
            'the broker refuses its statistics, so its restarts and drops stay unnoticed: allow this user to read them',
          );
        }
      });
    });
    this.client.on('message', (topic, payload, { retain }) => {
      const value = Number.parseInt(payload.toString(), 10);
      if (!Number.isSafeInteger(value)) return;
      if (topic === DROPPED) {
        const before = this.lastDropped;
        this.lastDropped = value;
        const messages = droppedSince(before, value, retain);
        if (messages > 0) listener.dropped(messages);
      }
      // A retained report may be as old as the broker's reporting interval.
      else if (!retain) {
        const uptime = this.proof.observe(value, performance.now());
        if (uptime !== undefined) listener.uptime(uptime);
      }
    });
    const errors = new Sampled(ERROR_EVERY_MS);
    this.client.on('error', (error) =>
      errors.take((skipped) => logger.warn({ err: error, mqtt_client_id: clientId, skipped }, 'broker watch error')),
    );
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}

/**
 * How many messages were dropped since the report before. A first report that is retained counts drops from before this
 * process subscribed: a sweep follows when it acquires its lanes. A first one that is live has drops since then, if the broker
 * had reported nothing before.
 */
export function droppedSince(before: number | undefined, value: number, retain: boolean): number {
  if (before === undefined) return retain ? 0 : value;
  // The counter of a restarted broker begins at 0.
  return value >= before ? value - before : value;
}
