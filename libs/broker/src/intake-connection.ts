/**
 * One connection of a lane's session at the broker, from CONNECT to its end. Passes packets to its handler in batches, and
 * acknowledges a batch when the handler has resolved.
 *
 * - I1 PUBACKs are sent in the order of arrival; otherwise brokers reorder messages.
 * - I2 A PUBACK is sent only on the connection that brought its packet: after a reconnect the id may belong to another one.
 * - I3 At most `window` packets and `MAX_UNACKNOWLEDGED_BYTES` are unacknowledged. Above that the socket is not read
 *   (back-pressure), because not every broker honours the receive maximum.
 * - I4 It never reconnects (S10): the owner opens a new connection if it still holds the lane.
 *
 * MQTT.js sends the PUBACK itself if the callback of `handleMessage` is called without an error. If it is called with an
 * error, MQTT.js continues to read and sends no PUBACK; this file sends those of a batch later, with one write to the stream.
 * Nothing else depends on that.
 */
import type { MqttClient } from 'mqtt';
import { closeWithin, type Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { NEVER_EXPIRES, endMqtt, keepSlowReaderAlive, openMqtt, refusalOf, subscribeMqtt } from './mqtt-connection.js';

export interface IntakePacket {
  topic: string;
  payload: Buffer;
  retain: boolean;
  /** An earlier connection of the session received it too, and did not acknowledge it. */
  dup: boolean;
  /** MQTT's packet id; undefined at QoS 0. */
  packetId: number | undefined;
}

export interface IntakeOptions extends BrokerAccess {
  /** Names the session, so it is the same for each connection of a lane. */
  clientId: string;
  /** Shared or plain filters, subscribed at QoS 1 with retain handling 2 and Retain As Published. */
  filters: readonly string[];
  window: number;
  /** Ends the session that the broker has, with all that waits in it, and begins a new one. */
  cleanStart?: boolean;
  /** How long to wait for a SUBACK or UNSUBACK, and for the next packet of a session that is being retired. */
  readyMs?: number;
}

/** Stores a batch; called for one batch at a time. If it rejects, the connection ends and the broker redelivers the batch. */
export type IntakeHandler = (packets: readonly IntakePacket[]) => Promise<void>;

export type IntakeEnd =
  /** `close` was called. */
  | 'closed'
  /** Another connection took over the session: its owner holds the lane now. */
  | 'taken-over'
  /** The broker or the network closed the connection, or the broker did not reply. */
  | 'lost'
  /** The handler failed. */
  | 'failed';

/** MQTT 5 DISCONNECT reason: session taken over. */
const SESSION_TAKEN_OVER = 0x8e;
/** Above this the socket is not read. The broker limits the size of a single packet. */
const MAX_UNACKNOWLEDGED_BYTES = 32 * 1024 * 1024;
const READY_MS = 30_000;
/** The first two bytes of a PUBACK without a reason: its packet type, and 2 for the bytes of the packet id that follow. */
const PUBACK = 0x4002;
const PUBACK_BYTES = 4;
/** How long a disconnect waits for the broker. */
const CLOSE_MS = 2000;
/** Makes MQTT.js continue to read without a PUBACK. */
const ACKNOWLEDGED_LATER = new Error('acknowledged later');

export class IntakeConnection {
  /** Resolves when the connection has ended and no batch of it is being stored. */
  readonly ended: Promise<IntakeEnd>;
  /** Resolves when the broker accepts the connection; never, if it does not. */
  readonly accepted: Promise<void>;
  /** Whether the broker still had the session; undefined until it accepts the connection. */
  sessionPresent: boolean | undefined;
  /** When the broker accepted the connection, by `performance.now()`. */
  acceptedAt = 0;
  private readonly client: MqttClient;
  /** Received packets that are not yet passed to the handler. */
  private received: IntakePacket[] = [];
  /** Packets of the batch that the handler is storing. */
  private storing = 0;
  /** Bytes of all unacknowledged packets. */
  private bytes = 0;
  private continueReading: (() => void) | undefined;
  private processing: Promise<void> | undefined;
  private end: (how: IntakeEnd) => void = () => undefined;
  private isEnded = false;
  private isClosing = false;
  private onLastMessage: (() => void) | undefined;
  /** When a packet was last received or stored, by `performance.now()`. */
  private progressAt = 0;

  constructor(
    private readonly options: IntakeOptions,
    private readonly handler: IntakeHandler,
    private readonly logger: Logger,
  ) {
    this.client = openMqtt(options, {
      clientId: options.clientId,
      clean: options.cleanStart ?? false,
      reconnectPeriod: 0,
      resubscribe: false,
      properties: { sessionExpiryInterval: NEVER_EXPIRES, receiveMaximum: Math.min(options.window, 65_535) },
    });
    // Set it before the first packet can arrive: otherwise MQTT.js acknowledges packets of a resumed session unread.
    this.client.handleMessage = (packet, callback) => this.receive(packet, callback);
    keepSlowReaderAlive(
      this.client,
      (withinMs) => this.continueReading !== undefined || performance.now() - this.progressAt < withinMs,
    );
    this.accepted = new Promise((resolve) => {
      this.client.once('connect', ({ sessionPresent }) => {
        this.sessionPresent = sessionPresent;
        this.acceptedAt = performance.now();
        resolve();
      });
    });
    this.ended = new Promise((resolve) => {
      this.end = (how) => {
        if (this.isEnded) return;
        this.isEnded = true;
        this.received = [];
        void (this.processing ?? Promise.resolve()).then(() => resolve(how));
      };
    });
    this.client.on('disconnect', (packet) => {
      if (packet.reasonCode === SESSION_TAKEN_OVER) this.end('taken-over');
    });
    this.client.on('error', (error) => {
      this.logger.warn({ err: error, mqtt_client_id: options.clientId }, 'intake connection error');
    });
    this.client.on('close', () => this.end(this.isClosing ? 'closed' : 'lost'));
  }

  /**
   * Waits until the connection is open and subscribed.
   * @returns whether the broker still had the session of the lane, with the messages that are queued for it
   */
  async ready(): Promise<{ sessionPresent: boolean }> {
    const sessionPresent = await this.connack();
    const options = { qos: 1, rh: 2, rap: true } as const;
    const refusal = refusalOf(await this.orDisconnect(subscribeMqtt(this.client, this.options.filters, options)));
    if (refusal !== undefined) throw new Error(refusal);
    return { sessionPresent };
  }

  /**
   * Call it in place of `ready` to end the session for good: unsubscribes, stores the messages that the broker has queued, and
   * removes the session. It publishes a last message to the session itself: when that arrives, the queue is empty.
   */
  async retire(): Promise<void> {
    const { clientId, filters } = this.options;
    await this.connack();
    await this.orDisconnect(this.client.unsubscribeAsync([...filters]));
    const last = lastMessageTopic(clientId);
    await this.orDisconnect(this.client.subscribeAsync(last, { qos: 1 }));
    const emptied = new Promise<void>((resolve, reject) => {
      this.onLastMessage = resolve;
      this.client.once('close', () => reject(new Error('the connection ended before the session was empty')));
    });
    const stopWatching = this.disconnectIfIdle();
    try {
      await Promise.all([emptied, this.client.publishAsync(last, '', { qos: 1 })]);
    } finally {
      stopWatching();
    }
    await this.processing;
    this.isClosing = true;
    await endMqtt(this.client, CLOSE_MS, { properties: { sessionExpiryInterval: 0 } });
    this.end('closed');
  }

  /** Packets received and not yet acknowledged. */
  get unacknowledged(): number {
    return this.received.length + this.storing;
  }

  /** Stops reading, waits until the current batch is stored and acknowledged, and disconnects; the session stays at the broker. */
  async close(): Promise<void> {
    this.isClosing = true;
    // A CONNECT that is sent now could disconnect a newer owner of the session (S10).
    if (!this.client.connected) this.client.stream.destroy();
    // The broker redelivers these packets to the next owner of the session: they are not acknowledged.
    this.received = [];
    await this.processing;
    if (!this.isEnded) {
      await closeWithin(
        CLOSE_MS,
        // MQTT.js waits forever if the broker has just closed its side or does not reply.
        () => Promise.race([this.client.endAsync(), this.ended]),
        () => this.client.stream.destroy(),
      );
    }
    this.end('closed');
  }

  /** Disconnects if the broker sends nothing for too long; the time to store a batch does not count. @returns a function that ends it */
  private disconnectIfIdle(): () => void {
    const limit = this.options.readyMs ?? READY_MS;
    this.progressAt = performance.now();
    const timer = setInterval(() => {
      if (this.processing === undefined && performance.now() - this.progressAt >= limit) this.client.stream.destroy();
    }, limit);
    return () => clearInterval(timer);
  }

  /**
   * Disconnects if the reply does not come in time, which rejects it: a broker may answer pings and never this request. While
   * a batch is stored, the reply may be behind it in the socket.
   */
  private async orDisconnect<Reply>(reply: Promise<Reply>): Promise<Reply> {
    const timer = setInterval(() => {
      if (this.processing === undefined) this.client.stream.destroy();
    }, this.options.readyMs ?? READY_MS);
    try {
      return await reply;
    } finally {
      clearInterval(timer);
    }
  }

  /** @returns whether the broker still had the session */
  private connack(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.client.once('connect', (connack) => resolve(connack.sessionPresent));
      this.client.once('close', () => reject(new Error('the broker closed the connection before it was ready')));
    });
  }

  private receive(packet: Parameters<MqttClient['handleMessage']>[0], callback: (error?: Error) => void): void {
    if (this.isEnded || this.isClosing) return;
    this.progressAt = performance.now();
    if (this.onLastMessage !== undefined && packet.topic === lastMessageTopic(this.options.clientId)) {
      callback(ACKNOWLEDGED_LATER);
      this.onLastMessage();
      return;
    }
    this.received.push({
      topic: packet.topic,
      payload: packet.payload as Buffer,
      retain: packet.retain,
      dup: packet.dup,
      packetId: packet.messageId,
    });
    this.bytes += packet.payload.length;
    if (this.unacknowledged < this.options.window && this.bytes < MAX_UNACKNOWLEDGED_BYTES)
      callback(ACKNOWLEDGED_LATER);
    else this.continueReading = () => callback(ACKNOWLEDGED_LATER);
    this.processing ??= this.process();
  }

  private async process(): Promise<void> {
    // Packets that are already in the socket's buffer join the first batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.received.length > 0) {
      const batch = this.received;
      this.received = [];
      this.storing = batch.length;
      const bytes = this.bytes;
      try {
        await this.handler(batch);
      } catch (error) {
        this.logger.error(
          { err: error, mqtt_client_id: this.options.clientId },
          'storing a batch failed: disconnecting, so that the broker redelivers it',
        );
        this.client.end(true);
        this.end('failed');
        break;
      }
      if (!this.isEnded) this.acknowledge(batch);
      this.storing = 0;
      this.progressAt = performance.now();
      this.bytes -= bytes;
      const { continueReading } = this;
      this.continueReading = undefined;
      continueReading?.();
    }
    this.processing = undefined;
  }

  /** One write for the whole batch: through MQTT.js each PUBACK would be three writes, and an event that nobody listens to. */
  private acknowledge(batch: readonly IntakePacket[]): void {
    if (this.client.connected && this.client.stream.writable) this.client.stream.write(pubacks(batch));
  }
}

/** The PUBACKs of packets of QoS 1, in their order: packet type, remaining length, packet id. The reason, success, is left out. */
export function pubacks(packets: readonly Pick<IntakePacket, 'packetId'>[]): Buffer {
  const bytes = Buffer.allocUnsafe(packets.length * PUBACK_BYTES);
  let end = 0;
  for (const { packetId } of packets) {
    if (packetId === undefined) continue;
    bytes.writeUInt16BE(PUBACK, end);
    end = bytes.writeUInt16BE(packetId, end + 2);
  }
  return bytes.subarray(0, end);
}

/** The topic of the last message of a session that is being retired. */
function lastMessageTopic(clientId: string): string {
  return `${clientId}/last`;
}
