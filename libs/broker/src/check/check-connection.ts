/** One connection of a check, from CONNECT to its end. It never reconnects; when it ends, everything that waits for it fails. */
import { randomUUID } from 'node:crypto';
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt';
import { within } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { endMqtt, openMqtt } from '../mqtt-connection.js';
import { readGranted, type Granted } from './granted.js';

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

/** What became of a CONNECT. `closed`: the connection ended, or brought something unreadable, before a CONNACK. */
export type Connecting =
  | { kind: 'connected'; connection: CheckConnection }
  | { kind: 'refused'; reasonCode: number; details: string }
  | { kind: 'closed' }
  | { kind: 'unreachable'; details: string };

export interface CheckMessage {
  topic: string;
  retain: boolean;
  isEmpty: boolean;
}

export interface CheckPublish {
  topic: string;
  payload: string;
  retain: boolean;
}

const CONNECT_MS = 5000;
const REPLY_MS = 4000;
const CLOSE_MS = 1000;
const NOT_AUTHORIZED = 0x87;
const MESSAGE_EXPIRY_SECONDS = 60;
/** Publishes of a check that wait for their PUBACK at most. */
const MOST_IN_FLIGHT = 50;

export class CheckConnection {
  private readonly reasonCodes = new Map<number, number>();
  private readonly listeners = new Set<(message: CheckMessage) => void>();
  private readonly ended: Promise<never>;

  private constructor(
    private readonly client: MqttClient,
    readonly granted: Granted,
  ) {
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'puback' && packet.messageId !== undefined)
        this.reasonCodes.set(packet.messageId, packet.reasonCode ?? 0);
    });
    client.on('message', (topic, payload, { retain }: IPublishPacket) => {
      for (const listener of this.listeners) listener({ topic, retain, isEmpty: payload.length === 0 });
    });
    this.ended = new Promise((_, reject) => {
      client.on('disconnect', ({ reasonCode }) => {
        if (reasonCode === NOT_AUTHORIZED) reject(new CheckNotAllowedError('a topic of the check'));
      });
      client.on('close', () => reject(new CheckInterruptedError('the connection ended during the check')));
    });
    this.ended.catch(() => undefined);
  }

  static open(access: BrokerAccess, clientId: string, options: IClientOptions = {}): Promise<Connecting> {
    const client = openMqtt(access, {
      clientId,
      clean: true,
      reconnectPeriod: 0,
      reconnectOnConnackError: false,
      resubscribe: false,
      connectTimeout: CONNECT_MS,
      ...options,
    });
    return new Promise((resolve) => {
      const fail = (result: Connecting): void => {
        resolve(result);
        client.end(true);
      };
      client.once('connect', ({ properties }) => {
        const asked = options.properties?.sessionExpiryInterval;
        resolve({ kind: 'connected', connection: new CheckConnection(client, readGranted(properties, asked)) });
      });
      client.on('error', (error) => fail(failedConnect(error)));
      client.on('close', () => fail({ kind: 'closed' }));
    });
  }

  onMessage(listener: (message: CheckMessage) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @returns the reason code of the PUBACK */
  async publish({ topic, payload, retain }: CheckPublish): Promise<number> {
    const properties = { messageExpiryInterval: MESSAGE_EXPIRY_SECONDS };
    const published = new Promise<number>((resolve, reject) => {
      this.client.publish(topic, payload, { qos: 1, retain, properties }, (error, packet) => {
        if (error == null) resolve(this.reasonCodes.get(packet?.messageId ?? -1) ?? 0);
        else if ('code' in error && error.code === NOT_AUTHORIZED) reject(new CheckNotAllowedError(topic));
        else reject(new CheckInterruptedError(`a publish failed: ${error.message}`));
      });
    });
    return this.inTime(published, 'PUBACK');
  }

  /** Publishes in this order, no more at a time than the broker grants. */
  async publishAll(messages: readonly CheckPublish[]): Promise<void> {
    const size = Math.min(MOST_IN_FLIGHT, this.granted.receiveMaximum);
    for (let from = 0; from < messages.length; from += size)
      await Promise.all(messages.slice(from, from + size).map((message) => this.publish(message)));
  }

  /**
   * Subscribes as a lane does. `retained`: the broker sends what it has retained, too.
   * @returns the reason code of the SUBACK: the granted QoS, or the refusal
   */
  async subscribe(filter: string, { retained = false } = {}): Promise<number> {
    const options = { qos: 1, rh: retained ? 0 : 2, rap: true } as const;
    const subscribed = new Promise<number>((resolve, reject) => {
      this.client.subscribe(filter, options, (error, _grants, packet) => {
        // MQTT.js makes an error of a refusal; the packet has its reason code.
        const reasonCode = packet?.granted[0];
        if (typeof reasonCode === 'number') resolve(reasonCode);
        else reject(new CheckInterruptedError(`a subscription failed: ${error?.message ?? 'no reason code'}`));
      });
    });
    const reasonCode = await this.inTime(subscribed, 'SUBACK');
    if (reasonCode === NOT_AUTHORIZED) throw new CheckNotAllowedError(filter);
    return reasonCode;
  }

  /** Waits at most `ms` for `promise`. @returns whether it resolved @throws CheckInterruptedError */
  async endsInTime(ms: number, promise: Promise<unknown>): Promise<boolean> {
    return within(ms, Promise.race([promise, this.ended]));
  }

  /** Ends the connection and its session. */
  async end(): Promise<void> {
    const asked = this.client.options.properties?.sessionExpiryInterval;
    await endMqtt(this.client, CLOSE_MS, asked === undefined ? {} : { properties: { sessionExpiryInterval: 0 } });
  }

  private async inTime<T>(promise: Promise<T>, what: string): Promise<T> {
    // The connection may end first, and then nobody waits for it.
    promise.catch(() => undefined);
    if (await this.endsInTime(REPLY_MS, promise)) return promise;
    throw new CheckInterruptedError(`the broker sent no ${what} within ${REPLY_MS} ms`);
  }
}

function failedConnect(error: Error): Connecting {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number') return { kind: 'refused', reasonCode: code, details: error.message };
  // A broker that does not know the version may reset the connection, or reply in the form of an older one.
  if (code === 'ECONNRESET' || (code === undefined && error.message !== 'connack timeout')) return { kind: 'closed' };
  return { kind: 'unreachable', details: error.message };
}

/** The topics of one check: they lie below a prefix that nobody else uses. */
export class CheckTopics {
  readonly prefix = `cloud-connector/check/${randomUUID()}`;
  readonly group = randomUUID();

  at(name: string): string {
    return `${this.prefix}/${name}`;
  }

  shared(filter: string): string {
    return `$share/${this.group}/${this.at(filter)}`;
  }
}
