/**
 * Watches the broker's own statistics, if it publishes them (`$SYS/broker/…`, as Mosquitto does): its uptime and the
 * number of dropped messages. Reconnects by itself.
 */
import type { MqttClient } from 'mqtt';
import type { Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { openMqtt, refusedTopic } from './mqtt-connection.js';
import { UptimeProof, type Uptime } from './uptime-proof.js';

const UPTIME = '$SYS/broker/uptime';
const DROPPED = '$SYS/broker/publish/messages/dropped';

export interface BrokerListener {
  /** The broker says how long it has been running, and an earlier report has confirmed it. */
  uptime(uptime: Uptime): void;
  /** It has dropped messages since it was last asked: some of them may have been ours. */
  dropped(messages: number): void;
}

export class BrokerWatch {
  private readonly client: MqttClient;
  private readonly proof = new UptimeProof();
  private droppedBefore: number | undefined;

  constructor(access: BrokerAccess, clientId: string, listener: BrokerListener, logger: Logger) {
    this.client = openMqtt(access, { clientId, clean: true, reconnectPeriod: 1000, resubscribe: false });
    this.client.on('connect', () => {
      this.proof.connected();
      this.client.subscribe([UPTIME, DROPPED], { qos: 0 }, (error, grants) => {
        if (error != null || refusedTopic(grants ?? []) !== undefined) {
          logger.warn({ err: error, mqtt_client_id: clientId }, 'the broker does not let $SYS be read');
        }
      });
    });
    this.client.on('message', (topic, payload, { retain }) => {
      const value = Number.parseInt(payload.toString(), 10);
      if (!Number.isSafeInteger(value)) return;
      if (topic === DROPPED) {
        // After a restart it counts from the start again.
        const before = this.droppedBefore;
        this.droppedBefore = value;
        if (before !== undefined && value !== before) listener.dropped(value > before ? value - before : value);
      }
      // A retained one may be as old as the broker's interval.
      else if (!retain) {
        const uptime = this.proof.take(value, performance.now());
        if (uptime !== undefined) listener.uptime(uptime);
      }
    });
    this.client.on('error', (error) => logger.warn({ err: error, mqtt_client_id: clientId }, 'broker watch error'));
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}
