/**
 * One connection of a check, from CONNECT to its end. It keeps what it receives. It never reconnects: when it ends, everything
 * that waits for it fails.
 */
import { EventEmitter, once } from 'node:events';
import {
  ReasonCodes,
  type IClientOptions,
  type IConnackPacket,
  type IPublishPacket,
  type ISubscriptionGrant,
  type MqttClient,
} from 'mqtt';
import { causeOf, within } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { endMqtt, openMqtt, refusalOf, subscribeMqtt } from '../mqtt-connection.js';
import { readGranted, type Granted } from './granted.js';
import { filtersWithin, isWithin } from './packet-size.js';

/** The connection ended, or the broker did not reply in time: nothing is known. */
export class CheckInterruptedError extends Error {
  override readonly name = 'CheckInterruptedError';
}

/** The access control of the broker refuses a topic of the check. */
export class CheckNotAllowedError extends Error {
  override readonly name = 'CheckNotAllowedError';
  constructor(readonly topic: string) {
    super(`the broker does not allow ${topic}`);
  }
}

/**
 * Nothing came by a plain subscription. A broker that lets this user not read delivers nothing and says nothing, and one that is
 * slow looks the same for a while.
 */
export class CheckSilentError extends CheckInterruptedError {
  constructor(topic: string, ms: number) {
    super(`nothing came by ${topic} within ${ms} ms: the broker is slow, or does not allow this user to read it`);
  }
}

/** What became of a CONNECT. `closed`: the connection ended, or brought something unreadable, before a CONNACK. */
export type Connecting =
  | { kind: 'connected'; connection: CheckConnection }
  | { kind: 'refused'; reasonCode: number; details: string }
  | { kind: 'closed'; details: string }
  | { kind: 'unreachable'; details: string };

export interface CheckConnectOptions extends IClientOptions {
  /** Whether it sends PUBACKs; true by default. */
  acknowledges?: boolean;
  /** Interrupts the connection, also while it is being opened. */
  signal?: AbortSignal | undefined;
}

export interface Received {
  topic: string;
  payload: string;
  retain: boolean;
  dup: boolean;
  packetId: number | undefined;
}

export interface CheckMessage {
  topic: string;
  payload: string;
  retain?: boolean;
  expirySeconds?: number;
}

export interface CheckSubscription {
  qos?: 0 | 1;
  /** Whether retained messages are asked for. */
  retained?: boolean;
  /** Retain As Published. */
  asPublished?: boolean;
}

/** Nothing of a check outlives it by more than this. */
export const EXPIRY_SECONDS = 60;
const CONNECT_MS = 5000;
const REPLY_MS = 4000;
const CLOSE_MS = 1000;
const NOT_AUTHORIZED = 0x87;
const STOPPED = 'the check was stopped';
/** Publishes of a check that wait for their PUBACK at most. */
const MOST_IN_FLIGHT = 50;
/** Makes MQTT.js continue to read without a PUBACK. */
const NOT_ACKNOWLEDGED = new Error('not acknowledged');

export class CheckConnection {
  readonly received: Received[] = [];
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  private readonly interrupted: Promise<never>;
  private readonly arrivals = new EventEmitter();
  private readonly reasonCodes = new Map<number, number>();
  private connack: IConnackPacket | undefined;

  private constructor(
    private readonly client: MqttClient,
    readonly clientId: string,
    acknowledges: boolean,
    signal: AbortSignal | undefined,
  ) {
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'puback' && packet.messageId !== undefined)
        this.reasonCodes.set(packet.messageId, packet.reasonCode ?? 0);
    });
    // Set before the CONNACK, with which a resumed session may bring messages.
    client.handleMessage = ({ topic, payload, retain, dup, messageId }: IPublishPacket, callback) => {
      this.received.push({ topic, payload: payload.toString(), retain, dup, packetId: messageId });
      this.arrivals.emit('arrival');
      callback(acknowledges ? undefined : NOT_ACKNOWLEDGED);
    };
    this.closed = new Promise((resolve) => client.once('close', resolve));
    this.interrupted = new Promise((_, reject) => {
      client.on('disconnect', ({ reasonCode }) => {
        if (reasonCode === NOT_AUTHORIZED) reject(new CheckNotAllowedError('a topic of the check'));
        reject(new CheckInterruptedError(endedBecause(reasonCode)));
      });
      client.on('close', () => reject(new CheckInterruptedError('the connection ended during the check')));
      onAbort(signal, client, () => reject(new CheckInterruptedError(STOPPED)));
    });
    this.interrupted.catch(() => undefined);
  }

  static open(
    access: BrokerAccess,
    clientId: string,
    { acknowledges = true, signal, ...options }: CheckConnectOptions = {},
  ): Promise<Connecting> {
    if (signal?.aborted) return Promise.resolve({ kind: 'unreachable', details: STOPPED });
    const client = openMqtt(access, {
      clientId,
      clean: true,
      reconnectPeriod: 0,
      reconnectOnConnackError: false,
      resubscribe: false,
      connectTimeout: CONNECT_MS,
      ...options,
    });
    const connection = new CheckConnection(client, clientId, acknowledges, signal);
    return new Promise((resolve) => {
      let isOpen = false;
      const fail = (result: Connecting): void => {
        resolve(result);
        client.end(true);
      };
      client.once('connect', (connack) => {
        isOpen = true;
        connection.connack = connack;
        resolve({ kind: 'connected', connection });
      });
      client.on('error', (error) => fail(failedConnect(error)));
      client.on('close', () => fail(closed()));
      // One that is open is ended by the check, which removes its session.
      onAbort(signal, client, () => {
        if (!isOpen) fail({ kind: 'unreachable', details: STOPPED });
      });
    });
  }

  get granted(): Granted {
    return readGranted(this.connack?.properties, this.client.options.properties?.sessionExpiryInterval);
  }

  get sessionPresent(): boolean {
    return this.connack?.sessionPresent === true;
  }

  /** @returns the reason code of the PUBACK */
  async publish({ topic, payload, retain = false, expirySeconds = EXPIRY_SECONDS }: CheckMessage): Promise<number> {
    if (!isWithin({ topic, payload }, this.granted.maximumPacketSize)) throw this.tooLarge();
    const properties = { messageExpiryInterval: expirySeconds };
    const published = new Promise<number>((resolve, reject) => {
      this.client.publish(topic, payload, { qos: 1, retain, properties }, (error, packet) => {
        const packetId = packet?.messageId ?? -1;
        const reasonCode = this.reasonCodes.get(packetId) ?? 0;
        this.reasonCodes.delete(packetId);
        if (error == null) resolve(reasonCode);
        else if ('code' in error && error.code === NOT_AUTHORIZED) reject(new CheckNotAllowedError(topic));
        else reject(error);
      });
    });
    return this.inTime(published, 'PUBACK');
  }

  /** Publishes in this order, no more at a time than the broker grants. */
  async publishAll(messages: readonly CheckMessage[]): Promise<void> {
    const size = Math.min(MOST_IN_FLIGHT, this.granted.receiveMaximum);
    for (let from = 0; from < messages.length; from += size)
      await Promise.all(messages.slice(from, from + size).map((message) => this.publish(message)));
  }

  /** Subscribes as a lane does, if not said otherwise. @returns the reason code of the SUBACK: the granted QoS, or the refusal */
  async subscribe(filter: string, options?: CheckSubscription): Promise<number> {
    const [grant] = await this.grantsOf([filter], options);
    return grant?.qos ?? 0;
  }

  /** @throws CheckInterruptedError if the broker refuses one of them */
  async subscribeAll(filters: readonly string[], options?: CheckSubscription): Promise<void> {
    const refusal = refusalOf(await this.grantsOf(filters, options));
    if (refusal !== undefined) throw new CheckInterruptedError(refusal);
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    await this.inTime(this.client.unsubscribeAsync([...filters]), 'UNSUBACK');
  }

  /** Waits until the condition holds, at most `ms`. @returns whether it holds @throws CheckInterruptedError, CheckNotAllowedError */
  async until(condition: () => boolean, ms: number): Promise<boolean> {
    const late = AbortSignal.timeout(ms);
    while (!condition()) {
      if (late.aborted) return false;
      const arrival = once(this.arrivals, 'arrival', { signal: late }).catch(() => undefined);
      await Promise.race([arrival, this.interrupted]);
    }
    return true;
  }

  /** Waits until nothing has arrived for `quietMs`, or `count` messages are there. */
  async untilQuiet(quietMs: number, count = Infinity): Promise<void> {
    for (let before = -1; before !== this.received.length && this.received.length < count;) {
      before = this.received.length;
      const seen = before;
      await this.until(() => this.received.length > seen, quietMs);
    }
  }

  /** Breaks the connection without a DISCONNECT. */
  async breakOff(): Promise<void> {
    if (!this.client.connected) return;
    this.client.stream.destroy();
    await this.closed;
  }

  /** Ends the connection, and keeps its session if it was opened with one. */
  async leave(): Promise<void> {
    await endMqtt(this.client, CLOSE_MS);
  }

  /** Ends the connection and its session. */
  async end(): Promise<void> {
    await endMqtt(this.client, CLOSE_MS, { properties: { sessionExpiryInterval: 0 } });
  }

  private async grantsOf(
    filters: readonly string[],
    { qos = 1, retained = false, asPublished = true }: CheckSubscription = {},
  ): Promise<ISubscriptionGrant[]> {
    const options = { qos, rh: retained ? 0 : 2, rap: asPublished };
    if (filtersWithin(filters, this.granted.maximumPacketSize).length < filters.length) throw this.tooLarge();
    const granted = await this.inTime(subscribeMqtt(this.client, filters, options), 'SUBACK');
    const notAllowed = granted.find((grant: { topic: string; qos: number }) => grant.qos === NOT_AUTHORIZED);
    if (notAllowed !== undefined) throw new CheckNotAllowedError(notAllowed.topic);
    return granted;
  }

  private tooLarge(): CheckInterruptedError {
    const { maximumPacketSize } = this.granted;
    return new CheckInterruptedError(`the broker allows packets of ${maximumPacketSize} bytes only: raise that limit`);
  }

  private async inTime<T>(promise: Promise<T>, what: string): Promise<T> {
    const reply = promise.catch((error: unknown) => {
      if (error instanceof CheckNotAllowedError) throw error;
      throw new CheckInterruptedError(`no ${what} came: ${error instanceof Error ? error.message : String(error)}`);
    });
    const first = Promise.race([reply, this.interrupted]);
    if (await within(REPLY_MS, first)) return first;
    throw new CheckInterruptedError(`the broker sent no ${what} within ${REPLY_MS} ms`);
  }
}

/** The words for a DISCONNECT of the broker. */
export function endedBecause(reasonCode?: number): string {
  return `the broker ended the connection: ${reasonText(reasonCode)}`;
}

function reasonText(reasonCode = 0): string {
  const names: Readonly<Record<number, string | undefined>> = ReasonCodes;
  return `${names[reasonCode] ?? 'reason'} (0x${reasonCode.toString(16).padStart(2, '0')})`;
}

/** Leaves no listener behind when the connection has ended: the signal may live as long as the process. */
function onAbort(signal: AbortSignal | undefined, client: MqttClient, listener: () => void): void {
  signal?.addEventListener('abort', listener, { once: true });
  client.once('close', () => signal?.removeEventListener('abort', listener));
}

function failedConnect(error: Error): Connecting {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number') return { kind: 'refused', reasonCode: code, details: error.message };
  // A broker that does not know the version may reset the connection, or reply in the form of an older one.
  if (code === 'ECONNRESET' || (code === undefined && error.message !== 'connack timeout')) return closed();
  return { kind: 'unreachable', details: causeOf(error) };
}

function closed(): Connecting {
  return { kind: 'closed', details: 'the broker closed the connection without a CONNACK' };
}
