/**
 * Publishes to clients at QoS 1 and says what the broker made of it. Reconnects by itself; what is under way then
 * is sent again by MQTT.js and settles after the reconnect.
 */
import type { MqttClient } from 'mqtt';
import { backoffMs, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
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

/** How long a graceful end waits for what is unacknowledged. */
const CLOSE_MS = 1000;
/** Bytes of a PUBLISH beside its topic and payload: header, length, packet id, properties. */
const PACKET_ROOM = 32;

export class Publisher {
  private client: MqttClient;
  /** Publishes that wait for their PUBACK. */
  private readonly inFlight = new Set<(outcome: PublishOutcome) => void>();
  /** Publishes that wait for their turn. */
  private readonly queue = new Set<() => void>();
  /** Message ids whose PUBACK said that nobody listens. */
  private readonly unheard = new Set<number>();
  private maxInFlight = MAX_IN_FLIGHT;
  private maxPacketSize = Infinity;
  private attempts = 0;
  private limitsKnown: () => void = () => undefined;
  private readonly firstConnected = new Promise<void>((resolve) => (this.limitsKnown = resolve));

  constructor(
    private readonly access: BrokerAccess,
    private readonly clientId: string,
    private readonly logger: Logger,
  ) {
    this.client = this.open();
  }

  get connected(): boolean {
    return this.client.connected;
  }

  /** Publishes and waits for the PUBACK. Waits for its turn where the broker's receive maximum is reached. */
  async publish(topic: string, payload: string, options: PublishOptions = {}): Promise<PublishOutcome> {
    const { signal } = options;
    // The broker's limits are known only once it has answered.
    if (!(await unlessAborted(this.firstConnected, signal))) return { kind: 'aborted' };
    if (Buffer.byteLength(topic) + Buffer.byteLength(payload) + PACKET_ROOM > this.maxPacketSize) {
      const details = `the message does not fit into the ${this.maxPacketSize} bytes that the broker allows a packet`;
      return { kind: 'refused', forGood: true, details };
    }
    while (this.inFlight.size >= this.maxInFlight) {
      if (!(await this.turn(signal))) return { kind: 'aborted' };
    }
    if (signal?.aborted) return { kind: 'aborted' };
    return this.send(topic, payload, options);
  }

  /** Waits a moment for what is unacknowledged, and gives up the rest. */
  async close(): Promise<void> {
    const force = setTimeout(() => this.client.end(true), CLOSE_MS);
    await this.client.endAsync(!this.client.connected);
    clearTimeout(force);
    this.settleAll({ kind: 'aborted' });
  }

  private open(): MqttClient {
    const { clientId: mqtt_client_id, logger } = this;
    const client = openMqtt(this.access, {
      clientId: mqtt_client_id,
      clean: true,
      reconnectPeriod: 500,
      resubscribe: false,
    });
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'connack') this.learn(packet.properties);
      // The reason code does not reach the publish callback; the packet itself passes here just before it.
      if (packet.cmd === 'puback' && packet.reasonCode === NO_MATCHING_SUBSCRIBERS && packet.messageId !== undefined) {
        this.unheard.add(packet.messageId);
      }
    });
    client.on('connect', () => {
      this.attempts = 0;
      logger.info({ mqtt_client_id, receive_maximum: this.maxInFlight }, 'publisher connected');
    });
    client.on('close', () => {
      client.options.reconnectPeriod = backoffMs(this.attempts++, 100, 1000);
    });
    client.on('offline', () => logger.warn({ mqtt_client_id }, 'publisher lost the broker'));
    client.on('error', (error) => {
      logger.warn({ err: error.message, mqtt_client_id }, 'publisher error');
      // A packet MQTT.js cannot read leaves it deaf on an open connection, and it would send again what provoked it.
      if (client.connected && !('code' in error)) this.startAnew(error);
    });
    return client;
  }

  private learn(limits: { receiveMaximum?: number; maximumPacketSize?: number } | undefined): void {
    this.maxInFlight = Math.min(MAX_IN_FLIGHT, limits?.receiveMaximum ?? MAX_IN_FLIGHT);
    this.maxPacketSize = limits?.maximumPacketSize ?? Infinity;
    this.limitsKnown();
  }

  private startAnew(error: Error): void {
    const deaf = this.client;
    this.client = this.open();
    deaf.end(true);
    this.unheard.clear();
    this.settleAll({ kind: 'refused', forGood: false, details: error.message });
  }

  private settleAll(outcome: PublishOutcome): void {
    for (const settle of [...this.inFlight]) settle(outcome);
  }

  /** @returns false where the signal came first. */
  private async turn(signal: AbortSignal | undefined): Promise<boolean> {
    let next: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => (next = resolve));
    this.queue.add(next);
    const came = await unlessAborted(turn, signal);
    this.queue.delete(next);
    return came;
  }

  private send(
    topic: string,
    payload: string,
    { expirySeconds, retain = false, signal }: PublishOptions,
  ): Promise<PublishOutcome> {
    return new Promise((resolve) => {
      const abort = (): void => resolve({ kind: 'aborted' });
      const settle = (outcome: PublishOutcome): void => {
        if (!this.inFlight.delete(settle)) return;
        signal?.removeEventListener('abort', abort);
        const [next] = this.queue;
        if (next !== undefined) {
          this.queue.delete(next);
          next();
        }
        resolve(outcome);
      };
      this.inFlight.add(settle);
      signal?.addEventListener('abort', abort, { once: true });
      const properties = expirySeconds === undefined ? {} : { messageExpiryInterval: Math.max(1, expirySeconds) };
      this.client.publish(topic, payload, { qos: 1, retain, properties }, (error, packet) => {
        const messageId = packet?.messageId;
        if (messageId !== undefined && this.unheard.delete(messageId)) settle({ kind: 'unheard' });
        else if (error == null) settle({ kind: 'acknowledged' });
        else {
          const code = 'code' in error ? error.code : 0;
          settle({ kind: 'refused', forGood: REFUSED_FOR_GOOD.has(code), details: error.message });
        }
      });
    });
  }
}

/** Waits for a promise; false where the signal comes first. Leaves no listener behind. */
async function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<boolean> {
  if (signal === undefined) return promise.then(() => true);
  if (signal.aborted) return false;
  let stop: () => void = () => undefined;
  const aborted = new Promise<boolean>((resolve) => {
    stop = () => resolve(false);
    signal.addEventListener('abort', stop, { once: true });
  });
  const came = await Promise.race([promise.then(() => true), aborted]);
  signal.removeEventListener('abort', stop);
  return came;
}
