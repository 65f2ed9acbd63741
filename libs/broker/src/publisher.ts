/**
 * Publishes to clients at QoS 1 and says what the broker made of it. Reconnects by itself. MQTT.js sends nothing again:
 * when the connection ends, what was not acknowledged is taken out of its store. A publish that may be written at any
 * time is then repeated here; the outcome of one that has to be written by a certain time is unknown.
 */
import type { MqttClient } from 'mqtt';
import { backoffMs, counter, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { endMqtt, openMqtt } from './mqtt-connection.js';

export type PublishOutcome =
  /** The broker has it, and did not say that nobody listens. */
  | { kind: 'acknowledged' }
  /** No subscribers (PUBACK reason 0x10). */
  | { kind: 'unheard' }
  /** The broker refused it; `forGood` if another attempt would be refused too. */
  | { kind: 'refused'; forGood: boolean; details: string }
  /** It was written, and the connection ended before the broker acknowledged it. Only for one with `writeBy`. */
  | { kind: 'unknown'; details: string }
  /** Its time was over before it could be written: the broker does not have it. Only for one with `writeBy`. */
  | { kind: 'late' }
  /** Nothing is known: the wait was aborted. */
  | { kind: 'aborted' };

export interface PublishOptions {
  /** When its time to live ends, by `performance.now()`. What is left then is the MQTT 5 message expiry, a second at least. */
  expiresAt?: number;
  /** It must not be written after this, by `performance.now()`: the right to publish it may have gone to another process. */
  writeBy?: number;
  retain?: boolean;
  /** Ends the wait. */
  signal?: AbortSignal;
  /** Instead of `signal`, until it is written; aborted after that, it changes nothing. */
  untilWritten?: AbortSignal;
}

const NO_MATCHING_SUBSCRIBERS = 0x10;
/** Not authorized, topic name invalid, packet too large, payload format invalid, retain or QoS not supported. */
const REFUSED_FOR_GOOD: ReadonlySet<number> = new Set([0x87, 0x90, 0x95, 0x99, 0x9a, 0x9b]);
/** Limit of pending publishes if the broker names no receive maximum. */
const MAX_IN_FLIGHT = 1000;

/** How long a graceful end waits for what is unacknowledged. */
const CLOSE_MS = 1000;
/** Bytes of a PUBLISH beside its topic and payload: header, length, packet id, properties. */
const PACKET_ROOM = 32;

/** How long a publish may wait for its PUBACK before its connection is given up: a broker may answer pings and nothing else. */
const ACKNOWLEDGE_MS = 30_000;
/** For so many times as long it is remembered that a connection was given up: until then a message is tried again. */
const REMEMBERED_FACTOR = 4;

const givenUp = counter('publisher_stalls', 'Connections that were given up since the broker acknowledged no publish.');

/** A publish that waits for its PUBACK. */
interface InFlight {
  /** When it was written, by `performance.now()`. */
  since: number;
  packetId: number | undefined;
  end: (outcome: PublishOutcome) => void;
}

export class Publisher {
  private client: MqttClient;
  private readonly inFlight = new Set<InFlight>();
  /** Publishes that wait until they may be written. */
  private readonly queue = new Set<() => void>();
  /** Message ids whose PUBACK said that nobody listens. */
  private readonly unheard = new Set<number>();
  private maxInFlight = MAX_IN_FLIGHT;
  private maxPacketSize = Infinity;
  private attempts = 0;
  private isClosed = false;
  private givenUpAt = -Infinity;
  private acknowledging: NodeJS.Timeout | undefined;
  private connectedNow: () => void = () => undefined;
  private connection = new Promise<void>((resolve) => (this.connectedNow = resolve));

  constructor(
    private readonly access: BrokerAccess,
    private readonly clientId: string,
    private readonly logger: Logger,
    private readonly acknowledgeMs = ACKNOWLEDGE_MS,
  ) {
    this.client = this.open();
  }

  get connected(): boolean {
    return this.client.connected;
  }

  /** Whether the broker has acknowledged no publish since a connection was given up for that reason, not long ago. */
  get stalled(): boolean {
    return performance.now() - this.givenUpAt < REMEMBERED_FACTOR * this.acknowledgeMs;
  }

  /** Waits for a connection. @returns whether there is one within `withinMs` */
  async untilConnected(withinMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.connected) return true;
    return (await waitFor(this.connection, performance.now() + withinMs, signal)) === 'came';
  }

  /**
   * Publishes and waits for the PUBACK. It is written when there is a connection that takes it: the receive maximum of the
   * broker leaves room, and nothing that was written before waits in this process.
   */
  async publish(topic: string, payload: string, options: PublishOptions = {}): Promise<PublishOutcome> {
    const { writeBy = Infinity, untilWritten: signal = options.signal } = options;
    for (;;) {
      while (!this.takesOne()) {
        const outcome = this.isClosed ? 'aborted' : await this.turn(writeBy, signal);
        if (outcome !== 'came') {
          this.callNext();
          return { kind: outcome === 'late' ? 'late' : 'aborted' };
        }
      }
      if (signal?.aborted || performance.now() > writeBy) {
        this.callNext();
        return { kind: signal?.aborted ? 'aborted' : 'late' };
      }
      if (Buffer.byteLength(topic) + Buffer.byteLength(payload) + PACKET_ROOM > this.maxPacketSize) {
        this.callNext();
        const details = `the message does not fit into the ${this.maxPacketSize} bytes that the broker allows a packet`;
        return { kind: 'refused', forGood: true, details };
      }
      const outcome = await this.send(topic, payload, options);
      if (outcome.kind !== 'unknown' || writeBy !== Infinity) return outcome;
    }
  }

  /** Waits a moment for what is unacknowledged, and gives up the rest. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.acknowledging);
    await endMqtt(this.client, CLOSE_MS);
    this.endAll({ kind: 'aborted' });
    for (const next of [...this.queue]) next();
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
      if (packet.cmd === 'puback') this.givenUpAt = -Infinity;
      // The reason code does not reach the publish callback; the packet itself passes here just before it.
      if (packet.cmd === 'puback' && packet.reasonCode === NO_MATCHING_SUBSCRIBERS && packet.messageId !== undefined) {
        this.unheard.add(packet.messageId);
      }
    });
    client.on('connect', () => {
      if (client !== this.client) return;
      this.attempts = 0;
      this.connectedNow();
      client.stream.on('drain', () => this.callNext());
      this.callNext();
      logger.info({ mqtt_client_id, receive_maximum: this.maxInFlight }, 'publisher connected');
    });
    client.on('close', () => {
      if (client !== this.client) return;
      this.connection = new Promise((resolve) => (this.connectedNow = resolve));
      this.giveUpAll(client);
      client.options.reconnectPeriod = backoffMs(this.attempts++, 100, 1000);
    });
    client.on('offline', () => logger.warn({ mqtt_client_id }, 'publisher lost the broker'));
    client.on('error', (error) => {
      logger.warn({ err: error, mqtt_client_id }, 'publisher error');
      // A packet MQTT.js cannot read leaves it deaf on an open connection, and it would send again what provoked it.
      if (client.connected && !('code' in error)) this.startAnew(error);
    });
    return client;
  }

  private learn(limits: { receiveMaximum?: number; maximumPacketSize?: number } | undefined): void {
    this.maxInFlight = Math.min(MAX_IN_FLIGHT, limits?.receiveMaximum ?? MAX_IN_FLIGHT);
    this.maxPacketSize = limits?.maximumPacketSize ?? Infinity;
  }

  private startAnew(error: Error): void {
    const deaf = this.client;
    this.client = this.open();
    deaf.end(true);
    this.unheard.clear();
    this.endAll({ kind: 'refused', forGood: false, details: error.message });
  }

  /** What MQTT.js would send again after a reconnect: by then somebody else may have published it, or it was cancelled. */
  private giveUpAll(client: MqttClient): void {
    this.unheard.clear();
    const given = [...this.inFlight];
    this.endAll({ kind: 'unknown', details: 'the connection to the broker ended before it acknowledged the publish' });
    for (const { packetId } of given) if (packetId !== undefined) client.removeOutgoingMessage(packetId);
  }

  /** Ends a connection whose oldest publish has waited too long: what is under way becomes `unknown`. */
  private expectAcknowledged(): void {
    this.acknowledging = undefined;
    const [oldest] = this.inFlight;
    if (oldest === undefined || this.isClosed) return;
    const leftMs = oldest.since + this.acknowledgeMs - performance.now();
    if (leftMs > 0) {
      this.acknowledging = setTimeout(() => this.expectAcknowledged(), leftMs).unref();
      return;
    }
    const { clientId: mqtt_client_id, acknowledgeMs: wait_ms } = this;
    this.logger.warn(
      { mqtt_client_id, wait_ms, under_way: this.inFlight.size },
      'the broker acknowledges no publish; connecting again',
    );
    givenUp.inc();
    this.givenUpAt = performance.now();
    this.client.stream.destroy();
  }

  private endAll(outcome: PublishOutcome): void {
    for (const { end } of [...this.inFlight]) end(outcome);
  }

  /** Whether a publish would be written at once. */
  private takesOne(): boolean {
    const { connected, stream } = this.client;
    return connected && !this.isClosed && this.inFlight.size < this.maxInFlight && !stream.writableNeedDrain;
  }

  private callNext(): void {
    if (!this.takesOne()) return;
    const [next] = this.queue;
    if (next !== undefined) next();
  }

  private async turn(until: number, signal: AbortSignal | undefined): Promise<Waited> {
    let next: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => {
      next = () => {
        this.queue.delete(next);
        resolve();
      };
    });
    this.queue.add(next);
    const outcome = await waitFor(turn, until, signal);
    this.queue.delete(next);
    return outcome;
  }

  private send(
    topic: string,
    payload: string,
    { expiresAt, retain = false, signal }: PublishOptions,
  ): Promise<PublishOutcome> {
    return new Promise((resolve) => {
      const abort = (): void => resolve({ kind: 'aborted' });
      const one: InFlight = {
        since: performance.now(),
        packetId: undefined,
        end: (outcome) => {
          if (!this.inFlight.delete(one)) return;
          signal?.removeEventListener('abort', abort);
          this.callNext();
          resolve(outcome);
        },
      };
      this.inFlight.add(one);
      this.acknowledging ??= setTimeout(() => this.expectAcknowledged(), this.acknowledgeMs).unref();
      signal?.addEventListener('abort', abort, { once: true });
      const leftSeconds = expiresAt === undefined ? undefined : Math.ceil((expiresAt - performance.now()) / 1000);
      const properties = leftSeconds === undefined ? {} : { messageExpiryInterval: Math.max(1, leftSeconds) };
      this.client.publish(topic, payload, { qos: 1, retain, properties }, (error, packet) => {
        const messageId = packet?.messageId;
        if (messageId !== undefined && this.unheard.delete(messageId)) one.end({ kind: 'unheard' });
        else if (error == null) one.end({ kind: 'acknowledged' });
        else {
          const code = 'code' in error ? error.code : 0;
          one.end({ kind: 'refused', forGood: REFUSED_FOR_GOOD.has(code), details: error.message });
        }
      });
      one.packetId = this.client.getLastMessageId();
      this.callNext();
    });
  }
}

type Waited = 'came' | 'late' | 'aborted';

/** Waits for a promise until a time by `performance.now()`, or until the signal is aborted. Leaves nothing behind. */
async function waitFor(promise: Promise<void>, until: number, signal: AbortSignal | undefined): Promise<Waited> {
  if (signal?.aborted) return 'aborted';
  let timer: NodeJS.Timeout | undefined;
  let stop: () => void = () => undefined;
  const ended = new Promise<Waited>((resolve) => {
    stop = () => resolve('aborted');
    signal?.addEventListener('abort', stop, { once: true });
    if (until !== Infinity) timer = setTimeout(() => resolve('late'), Math.max(0, until - performance.now()));
  });
  const outcome = await Promise.race([promise.then(() => 'came' as const), ended]);
  clearTimeout(timer);
  signal?.removeEventListener('abort', stop);
  return outcome;
}
