/**
 * Publishes to clients at QoS 1 and says what the broker made of it. Reconnects by itself; what is under way then
 * is sent again by MQTT.js and settles after the reconnect.
 */
import type { MqttClient } from 'mqtt';
import { backoffMs, type Logger } from '@app/platform';
import { openMqtt } from './mqtt-connection.js';

export type PublishOutcome =
  /** The broker has it, and did not say that nobody listens. */
  | { kind: 'acknowledged' }
  /** Surely nobody is subscribed (PUBACK reason 0x10). */
  | { kind: 'unheard' }
  /** The broker refused it; `forGood` where another try would be refused too. */
  | { kind: 'refused'; forGood: boolean; details: string }
  /** Nothing is known: the wait was aborted. */
  | { kind: 'aborted' };

export interface PublishOptions {
  /** MQTT 5 message expiry, whole seconds. */
  expirySeconds?: number;
  retain?: boolean;
  /** Ends the wait. */
  signal?: AbortSignal;
}

const NO_MATCHING_SUBSCRIBERS = 0x10;
/** Not authorized, topic name invalid, packet too large, payload format invalid, retain or QoS not supported. */
const REFUSED_FOR_GOOD: ReadonlySet<number> = new Set([0x87, 0x90, 0x95, 0x99, 0x9a, 0x9b]);
/** Most publishes under way where the broker names no receive maximum. */
const MAX_IN_FLIGHT = 1000;

export class Publisher {
  private readonly client: MqttClient;
  /** Message ids whose PUBACK said that nobody listens. */
  private readonly unheard = new Set<number>();
  private inFlight = 0;
  private maxInFlight = MAX_IN_FLIGHT;
  private readonly queue: (() => void)[] = [];
  private attempts = 0;

  constructor(url: string, clientId: string, logger: Logger) {
    this.client = openMqtt(url, { clientId, clean: true, reconnectPeriod: 500, resubscribe: false });
    this.client.on('connect', (connack) => {
      this.attempts = 0;
      this.maxInFlight = Math.min(MAX_IN_FLIGHT, connack.properties?.receiveMaximum ?? MAX_IN_FLIGHT);
      logger.info({ mqtt_client_id: clientId, receive_maximum: this.maxInFlight }, 'publisher connected');
    });
    this.client.on('close', () => {
      this.client.options.reconnectPeriod = backoffMs(this.attempts++, 100, 1000);
    });
    this.client.on('offline', () => logger.warn({ mqtt_client_id: clientId }, 'publisher lost the broker'));
    this.client.on('error', (error) =>
      logger.warn({ err: error.message, mqtt_client_id: clientId }, 'publisher error'),
    );
    // The reason code does not reach the publish callback; the packet itself passes here just before it.
    this.client.on('packetreceive', (packet) => {
      if (packet.cmd === 'puback' && packet.reasonCode === NO_MATCHING_SUBSCRIBERS && packet.messageId !== undefined) {
        this.unheard.add(packet.messageId);
      }
    });
  }

  get connected(): boolean {
    return this.client.connected;
  }

  /** Publishes and waits for the PUBACK. Waits for its turn where the broker's receive maximum is reached. */
  async publish(topic: string, payload: string, options: PublishOptions = {}): Promise<PublishOutcome> {
    if (options.signal?.aborted) return { kind: 'aborted' };
    if (this.inFlight >= this.maxInFlight) await new Promise<void>((resolve) => this.queue.push(resolve));
    this.inFlight++;
    let settled: Promise<PublishOutcome>;
    try {
      settled = this.send(topic, payload, options).finally(() => this.leave());
    } catch (error) {
      this.leave();
      throw error;
    }
    return options.signal === undefined ? settled : untilAborted(settled, options.signal);
  }

  async close(): Promise<void> {
    await this.client.endAsync(!this.client.connected);
  }

  private leave(): void {
    this.inFlight--;
    this.queue.shift()?.();
  }

  private send(
    topic: string,
    payload: string,
    { expirySeconds, retain = false }: PublishOptions,
  ): Promise<PublishOutcome> {
    return new Promise((resolve) => {
      const properties = expirySeconds === undefined ? {} : { messageExpiryInterval: Math.max(1, expirySeconds) };
      this.client.publish(topic, payload, { qos: 1, retain, properties }, (error, packet) => {
        const messageId = packet?.messageId;
        if (messageId !== undefined && this.unheard.delete(messageId)) resolve({ kind: 'unheard' });
        else if (error == null) resolve({ kind: 'acknowledged' });
        else {
          const code = 'code' in error ? error.code : 0;
          resolve({ kind: 'refused', forGood: REFUSED_FOR_GOOD.has(code), details: error.message });
        }
      });
    });
  }
}

function untilAborted(settled: Promise<PublishOutcome>, signal: AbortSignal): Promise<PublishOutcome> {
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve({ kind: 'aborted' });
    signal.addEventListener('abort', abort, { once: true });
    settled.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
