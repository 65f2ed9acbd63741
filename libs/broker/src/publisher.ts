/**
 * Publishes to clients at QoS 1 and reports what the broker made of it. Reconnects automatically. MQTT.js repeats nothing:
 * when the connection ends, pending publishes are removed from its store. A publish without `writeBy` is then repeated
 * here; the outcome of one with `writeBy` is unknown.
 */
import type { MqttClient } from 'mqtt';
import { Sampled, backoffMs, causeOf, counter, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { endedBecause } from './check/check-connection.js';
import { unreachableBroker } from './check/essentials.js';
import { ERROR_EVERY_MS, endMqtt, openMqtt } from './mqtt-connection.js';
import { PendingPublishes, type PendingPublish } from './pending-publishes.js';
import { NO_MATCHING_SUBSCRIBERS, refusedBy, type PublishOptions, type PublishOutcome } from './publish-outcome.js';
import { PublishQueue } from './publish-queue.js';
import { waitUntil } from './timed-wait.js';

/** Limit of pending publishes if the broker names no receive maximum. */
const MAX_PENDING = 1000;
/** How long `close` waits for PUBACKs. */
const CLOSE_MS = 1000;
/** Bytes of a PUBLISH besides its texts: header, lengths, packet id, properties. */
const PACKET_OVERHEAD = 32;
/** How long a publish waits for its PUBACK before the connection counts as stalled and is closed. */
const PUBACK_MS = 30_000;
/** The publisher counts as stalled for so many times `PUBACK_MS` after a stall, or until the next PUBACK. */
const STALLED_FACTOR = 4;

const stalls = counter('publisher_stalls', 'Connections that were closed because the broker acknowledged no publish.');

export class Publisher {
  private client: MqttClient;
  private readonly pending: PendingPublishes;
  private readonly queue = new PublishQueue();
  /** Packet ids whose PUBACK reported that there are no subscribers. */
  private readonly withoutSubscribers = new Set<number>();
  private maxPending = MAX_PENDING;
  private maxPacketSize = Infinity;
  private attempts = 0;
  private readonly errors = new Sampled(ERROR_EVERY_MS);
  private isClosed = false;
  private stalledAt = -Infinity;
  private isOpen = false;
  /** Why there is no connection; undefined while there is one, and before the first attempt has ended. */
  private cause: string | undefined;
  private readonly lossListeners: (() => void)[] = [];
  private readonly connectListeners: (() => void)[] = [];
  private onConnected: () => void = () => undefined;
  private connection = new Promise<void>((resolve) => (this.onConnected = resolve));

  constructor(
    private readonly access: BrokerAccess,
    private readonly clientId: string,
    private readonly logger: Logger,
    private readonly pubackMs = PUBACK_MS,
  ) {
    this.pending = new PendingPublishes(pubackMs, () => this.reconnectStalled());
    this.client = this.open();
  }

  get connected(): boolean {
    return this.client.connected;
  }

  /** Why there is no connection, with the address of the broker; undefined if there is one. */
  get problem(): string | undefined {
    return this.connected ? undefined : unreachableBroker(this.access.url, this.cause ?? 'no answer');
  }

  /** Whether a connection was recently closed because the broker acknowledged no publish, and it has acknowledged none since. */
  get stalled(): boolean {
    return performance.now() - this.stalledAt < STALLED_FACTOR * this.pubackMs;
  }

  /** `listener` is called when a connection has ended that the publisher did not close. */
  onLost(listener: () => void): void {
    this.lossListeners.push(listener);
  }

  /** `listener` is called at each connection, the first one included. */
  onConnect(listener: () => void): void {
    this.connectListeners.push(listener);
  }

  /** @returns whether there is a connection within `timeoutMs` */
  async untilConnected(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.connected) return true;
    return (await waitUntil(performance.now() + timeoutMs, this.connection, signal)) === 'resolved';
  }

  /**
   * Publishes and waits for the PUBACK. The publish is written when the connection is open, fewer publishes are pending than
   * the broker's receive maximum, and the socket's buffer has room.
   */
  async publish(topic: string, payload: string, options: PublishOptions = {}): Promise<PublishOutcome> {
    const { writeBy = Infinity, untilWritten: signal = options.signal } = options;
    for (;;) {
      while (!this.isWritable()) {
        const result = this.isClosed ? 'aborted' : await this.queue.turn(writeBy, signal);
        if (result !== 'resolved') {
          this.callNext();
          return { kind: result };
        }
      }
      if (signal?.aborted || performance.now() > writeBy) {
        this.callNext();
        return { kind: signal?.aborted ? 'aborted' : 'late' };
      }
      const { responseTopic = '', correlationData = '' } = options.request ?? {};
      const texts = [topic, payload, responseTopic, correlationData];
      if (texts.reduce((sum, text) => sum + Buffer.byteLength(text), PACKET_OVERHEAD) > this.maxPacketSize) {
        this.callNext();
        const details = `the message does not fit into the ${this.maxPacketSize} bytes that the broker allows a packet`;
        return { kind: 'refused', permanent: true, details };
      }
      const outcome = await this.write(topic, payload, options);
      if (outcome.kind !== 'unknown' || writeBy !== Infinity) return outcome;
    }
  }

  /** Waits a second for the PUBACKs of pending publishes, and aborts the rest. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.pending.stopWatching();
    await endMqtt(this.client, CLOSE_MS);
    this.pending.completeAll({ kind: 'aborted' });
    this.queue.releaseAll();
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
      if (packet.cmd === 'connack') this.setLimits(packet.properties);
      if (packet.cmd === 'puback') this.stalledAt = -Infinity;
      // MQTT.js does not give the reason code to the callback of `publish`, but it emits the packet just before.
      if (packet.cmd === 'puback' && packet.reasonCode === NO_MATCHING_SUBSCRIBERS && packet.messageId !== undefined) {
        this.withoutSubscribers.add(packet.messageId);
      }
    });
    client.on('connect', () => {
      if (client !== this.client) return;
      this.attempts = 0;
      this.isOpen = true;
      this.cause = undefined;
      this.onConnected();
      for (const listener of this.connectListeners) listener();
      client.stream.on('drain', () => this.callNext());
      this.callNext();
      logger.info({ mqtt_client_id, receive_maximum: this.maxPending }, 'publisher connected');
    });
    client.on('close', () => {
      if (client !== this.client) return;
      this.cause ??= 'the connection ended';
      this.connection = new Promise((resolve) => (this.onConnected = resolve));
      this.dropPending(client);
      if (this.isOpen && !this.isClosed) for (const listener of this.lossListeners) listener();
      this.isOpen = false;
      client.options.reconnectPeriod = backoffMs(this.attempts++, 100, 1000);
    });
    client.on('disconnect', ({ reasonCode }) => {
      if (client === this.client) this.cause = endedBecause(reasonCode);
    });
    client.on('offline', () =>
      logger.warn({ mqtt_client_id, problem: this.problem }, 'publisher lost its connection to the broker'),
    );
    client.on('error', (error) => {
      if (client === this.client) this.cause = causeOf(error);
      this.errors.take((skipped) => logger.warn({ err: error, mqtt_client_id, skipped }, 'publisher error'));
      // After a packet that it cannot parse, MQTT.js reads nothing more, but keeps the connection open.
      if (client.connected && !('code' in error)) this.replaceClient(error);
    });
    return client;
  }

  private setLimits(limits: { receiveMaximum?: number; maximumPacketSize?: number } | undefined): void {
    this.maxPending = Math.min(MAX_PENDING, limits?.receiveMaximum ?? MAX_PENDING);
    this.maxPacketSize = limits?.maximumPacketSize ?? Infinity;
  }

  /** A reconnect of the same client would send the pending publishes again, and so provoke the same error. */
  private replaceClient(error: Error): void {
    const broken = this.client;
    this.client = this.open();
    broken.end(true);
    this.withoutSubscribers.clear();
    this.pending.completeAll({ kind: 'refused', permanent: false, details: error.message });
  }

  /** MQTT.js would send them again after a reconnect; until then they may be cancelled, or published by another process. */
  private dropPending(client: MqttClient): void {
    this.withoutSubscribers.clear();
    const details = 'the connection to the broker ended before it acknowledged the publish';
    for (const { packetId } of this.pending.completeAll({ kind: 'unknown', details })) {
      if (packetId !== undefined) client.removeOutgoingMessage(packetId);
    }
  }

  /** Closes the connection; MQTT.js opens another one. Pending publishes become `unknown`. */
  private reconnectStalled(): void {
    const { clientId: mqtt_client_id, pubackMs: wait_ms } = this;
    this.logger.warn(
      { mqtt_client_id, wait_ms, pending: this.pending.size },
      'the broker acknowledges no publish; reconnecting',
    );
    stalls.inc();
    this.stalledAt = performance.now();
    this.client.stream.destroy();
  }

  /** Whether a publish would be written at once. */
  private isWritable(): boolean {
    const { connected, stream } = this.client;
    return connected && !this.isClosed && this.pending.size < this.maxPending && !stream.writableNeedDrain;
  }

  private callNext(): void {
    if (this.isWritable()) this.queue.releaseOne();
  }

  private write(
    topic: string,
    payload: string,
    { expiresAt, retain = false, request, signal }: PublishOptions,
  ): Promise<PublishOutcome> {
    return new Promise((resolve) => {
      const abort = (): void => resolve({ kind: 'aborted' });
      const pending: PendingPublish = {
        writtenAt: performance.now(),
        packetId: undefined,
        complete: (outcome) => {
          if (!this.pending.remove(pending)) return;
          signal?.removeEventListener('abort', abort);
          this.callNext();
          resolve(outcome);
        },
      };
      this.pending.add(pending);
      signal?.addEventListener('abort', abort, { once: true });
      const leftSeconds = expiresAt === undefined ? undefined : Math.ceil((expiresAt - performance.now()) / 1000);
      const properties = {
        ...(leftSeconds !== undefined && { messageExpiryInterval: Math.max(1, leftSeconds) }),
        ...(request && {
          responseTopic: request.responseTopic,
          correlationData: Buffer.from(request.correlationData),
        }),
      };
      this.client.publish(topic, payload, { qos: 1, retain, properties }, (error, packet) => {
        const messageId = packet?.messageId;
        if (messageId !== undefined && this.withoutSubscribers.delete(messageId))
          pending.complete({ kind: 'no-subscribers' });
        else pending.complete(error == null ? { kind: 'acknowledged' } : refusedBy(error));
      });
      pending.packetId = this.client.getLastMessageId();
      this.callNext();
    });
  }
}
