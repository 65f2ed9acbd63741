/**
 * One connection of a lane's session at the broker, from CONNECT to its end. Hands packets over in batches and
 * acknowledges a batch only after its handler has resolved.
 *
 * - I1 PUBACKs go out in the order of arrival: brokers reorder otherwise.
 * - I2 A PUBACK goes out only on the connection its packet came on: after a reconnect the id may be another's.
 * - I3 At most `window` packets, and `MOST_BYTES` of them, are unacknowledged: past that the socket is not read (back-pressure), since not
 *   every broker honours the receive maximum.
 * - I4 It never reconnects by itself (S10): its owner opens a new one, if it still holds the lane.
 *
 * MQTT.js acknowledges when the callback of `handleMessage` is called without an error. Calling it back at once
 * with an error makes it read on without a PUBACK; that one we send ourselves. This is the only file that knows.
 */
import type { ISubscriptionMap, MqttClient } from 'mqtt';
import type { Logger } from '@app/platform';
import type { BrokerAccess } from './broker-access.js';
import { endMqtt, openMqtt, refusedTopic } from './mqtt-connection.js';

export interface IntakePacket {
  topic: string;
  payload: Buffer;
  retain: boolean;
  /** Sent before on an earlier connection of the session, and not acknowledged. */
  dup: boolean;
  /** Identifies it until it is acknowledged; undefined at QoS 0. */
  packetId: number | undefined;
}

export interface IntakeOptions extends BrokerAccess {
  /** Fixed for a lane: it names the session. */
  clientId: string;
  /** Shared or plain filters, subscribed at QoS 1 with retain handling 2 and Retain As Published. */
  filters: readonly string[];
  window: number;
  /** Longest wait for the broker's answer to a subscription, or to its end; and for the next packet of a session that is drained. */
  readyMs?: number;
}

/** Stores a batch; called for one batch at a time. Rejecting ends the connection, so that the broker sends it again. */
export type IntakeHandler = (packets: readonly IntakePacket[]) => Promise<void>;

export type IntakeEnd =
  /** `close` was called. */
  | 'closed'
  /** Another connection took over the session: whoever it is holds the lane now. */
  | 'taken-over'
  /** The broker or the network ended it, or a handler failed. */
  | 'lost';

/** MQTT 5 DISCONNECT reason: session taken over. */
const SESSION_TAKEN_OVER = 0x8e;
/** Bytes in hand past which the socket is not read; the largest single packet is the broker's to limit. */
const MOST_BYTES = 32 * 1024 * 1024;
const READY_MS = 30_000;
/** Longest a disconnect waits for the broker. */
const CLOSE_MS = 2000;
const NEVER_EXPIRES = 0xffff_ffff;
/** Makes MQTT.js continue reading without acknowledging. */
const LATER = new Error('acknowledged later');

export class IntakeConnection {
  /** Resolves when the connection has ended and none of its batches is being stored. */
  readonly ended: Promise<IntakeEnd>;
  private readonly client: MqttClient;
  private waiting: IntakePacket[] = [];
  private storing = 0;
  private bytes = 0;
  private readOn: (() => void) | undefined;
  private working: Promise<void> | undefined;
  private end: (how: IntakeEnd) => void = () => undefined;
  private over = false;
  private closing = false;
  private onLast: (() => void) | undefined;
  /** When something came last from the broker, or was stored, by `performance.now()`. */
  private progressAt = 0;

  constructor(
    private readonly options: IntakeOptions,
    private readonly handler: IntakeHandler,
    private readonly logger: Logger,
  ) {
    this.client = openMqtt(options, {
      clientId: options.clientId,
      clean: false,
      reconnectPeriod: 0,
      resubscribe: false,
      properties: { sessionExpiryInterval: NEVER_EXPIRES, receiveMaximum: Math.min(options.window, 65_535) },
    });
    // Set before the first packet can arrive: a resumed session would else be acknowledged unseen.
    this.client.handleMessage = (packet, callback) => this.receive(packet, callback);
    this.ended = new Promise((resolve) => {
      this.end = (how) => {
        if (this.over) return;
        this.over = true;
        this.waiting = [];
        void (this.working ?? Promise.resolve()).then(() => resolve(how));
      };
    });
    this.client.on('disconnect', (packet) => {
      if (packet.reasonCode === SESSION_TAKEN_OVER) this.end('taken-over');
    });
    this.client.on('error', (error) => {
      this.logger.warn({ err: error, mqtt_client_id: options.clientId }, 'intake connection error');
    });
    this.client.on('close', () => this.end(this.closing ? 'closed' : 'lost'));
  }

  /**
   * Waits until connected and subscribed.
   * @returns whether the broker still had the lane's session, and with it what was queued for it.
   */
  async ready(): Promise<{ sessionPresent: boolean }> {
    const sessionPresent = await this.connected();
    const filters: ISubscriptionMap = {};
    for (const filter of this.options.filters) filters[filter] = { qos: 1, rh: 2, rap: true };
    const granted = await this.answered(this.client.subscribeAsync(filters));
    const refused = refusedTopic(granted);
    if (refused !== undefined) throw new Error(`the broker refused the subscription to ${refused}`);
    return { sessionPresent };
  }

  /**
   * Ends the session for good, in place of `ready`: subscribes to nothing any more, takes in what the broker has
   * queued for it, and leaves nothing behind. That the queue is empty is known by a message of our own, which comes last.
   */
  async retire(): Promise<void> {
    const { clientId, filters } = this.options;
    await this.connected();
    await this.answered(this.client.unsubscribeAsync([...filters]));
    const last = lastMessageTopic(clientId);
    await this.answered(this.client.subscribeAsync(last, { qos: 1 }));
    const drained = new Promise<void>((resolve, reject) => {
      this.onLast = resolve;
      this.client.once('close', () => reject(new Error('the connection ended before the session was drained')));
    });
    const stopWatching = this.endIfSilent();
    try {
      await Promise.all([drained, this.client.publishAsync(last, '', { qos: 1 })]);
    } finally {
      stopWatching();
    }
    await this.working;
    this.closing = true;
    await endMqtt(this.client, CLOSE_MS, { properties: { sessionExpiryInterval: 0 } });
    this.end('closed');
  }

  /** Packets received and not yet acknowledged. */
  get unacknowledged(): number {
    return this.waiting.length + this.storing;
  }

  /** Reads no more, waits for the batch in hand, acknowledges it, and disconnects; the session stays at the broker. */
  async close(): Promise<void> {
    this.closing = true;
    // A CONNECT that is still to go out could throw a newer owner of the session out (S10).
    if (!this.client.connected) this.client.stream.destroy();
    // What is only waiting was not acknowledged: the next owner of the session gets it again.
    this.waiting = [];
    await this.working;
    // MQTT.js waits for ever if the other side has just closed the stream or does not reply.
    const insist = setTimeout(() => this.client.stream.destroy(), CLOSE_MS);
    if (!this.over) await Promise.race([this.client.endAsync(), this.ended]);
    clearTimeout(insist);
    this.end('closed');
  }

  /** Ends the connection if the broker sends nothing for too long. What takes long to store is not its fault. */
  private endIfSilent(): () => void {
    const limit = this.options.readyMs ?? READY_MS;
    this.progressAt = performance.now();
    const timer = setInterval(() => {
      if (this.working === undefined && performance.now() - this.progressAt >= limit) this.client.stream.destroy();
    }, limit);
    return () => clearInterval(timer);
  }

  /** A broker may answer pings and never this: the connection is ended then, which makes the wait fail. */
  private async answered<Answer>(answer: Promise<Answer>): Promise<Answer> {
    const timer = setTimeout(() => this.client.stream.destroy(), this.options.readyMs ?? READY_MS);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns whether the broker still had the session. */
  private connected(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.client.once('connect', (connack) => resolve(connack.sessionPresent));
      this.client.once('close', () => reject(new Error('the broker closed the connection before it was ready')));
    });
  }

  private receive(packet: Parameters<MqttClient['handleMessage']>[0], callback: (error?: Error) => void): void {
    if (this.over || this.closing) return;
    this.progressAt = performance.now();
    if (this.onLast !== undefined && packet.topic === lastMessageTopic(this.options.clientId)) {
      callback(LATER);
      this.onLast();
      return;
    }
    this.waiting.push({
      topic: packet.topic,
      payload: packet.payload as Buffer,
      retain: packet.retain,
      dup: packet.dup,
      packetId: packet.messageId,
    });
    this.bytes += packet.payload.length;
    if (this.unacknowledged < this.options.window && this.bytes < MOST_BYTES) callback(LATER);
    else this.readOn = () => callback(LATER);
    this.working ??= this.work();
  }

  private async work(): Promise<void> {
    // Lets everything that is already in the socket's buffer join the first batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      this.storing = batch.length;
      const bytes = this.bytes;
      try {
        await this.handler(batch);
      } catch (error) {
        this.logger.error({ err: error, mqtt_client_id: this.options.clientId }, 'intake failed; disconnecting');
        this.client.end(true);
        this.end('lost');
        break;
      }
      if (!this.over) for (const { packetId } of batch) if (packetId !== undefined) this.acknowledge(packetId);
      this.storing = 0;
      this.progressAt = performance.now();
      this.bytes -= bytes;
      const readOn = this.readOn;
      this.readOn = undefined;
      readOn?.();
    }
    this.working = undefined;
  }

  private acknowledge(messageId: number): void {
    (this.client as unknown as PacketSender)._sendPacket({ cmd: 'puback', messageId, reasonCode: 0 });
  }
}

/** Where a session that retires sends its own last message. */
function lastMessageTopic(clientId: string): string {
  return `${clientId}/last`;
}

/** The part of MQTT.js that its types call private; `intake-connection.spec.ts` fails when it changes. */
interface PacketSender {
  _sendPacket(packet: { cmd: 'puback'; messageId: number; reasonCode: number }): void;
}
