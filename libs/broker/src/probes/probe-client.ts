/** One MQTT connection of a probe. It keeps what it receives, and never reconnects by itself. */
import { EventEmitter, once } from 'node:events';
import type { IConnackPacket, IPublishPacket, MqttClient, Packet } from 'mqtt';
import { endMqtt, refusedTopic } from '../mqtt-connection.js';

/** Nothing of a probe outlives it by more than this. */
export const EXPIRY_SECONDS = 60;
const CLOSE_MS = 1000;
/** Limit of messages for which a PUBACK is awaited at a time. */
const MAX_IN_FLIGHT = 50;
/** Makes MQTT.js continue to read without a PUBACK. */
const NOT_ACKNOWLEDGED = new Error('not acknowledged');

export interface Received {
  topic: string;
  payload: string;
  retain: boolean;
  dup: boolean;
  packetId: number | undefined;
}

export interface Message {
  topic: string;
  payload: string;
  retain?: boolean;
  expirySeconds?: number;
}

export class ProbeClient {
  readonly received: Received[] = [];
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  private readonly changes = new EventEmitter();
  private inFlight = MAX_IN_FLIGHT;

  /** @param acknowledges whether it sends PUBACKs */
  constructor(
    readonly mqtt: MqttClient,
    readonly clientId: string,
    acknowledges: boolean,
  ) {
    // Set before the first packet can arrive: a resumed session may bring messages with its CONNACK.
    mqtt.handleMessage = ({ topic, payload, retain, dup, messageId }: IPublishPacket, callback) => {
      this.received.push({ topic, payload: payload.toString(), retain, dup, packetId: messageId });
      this.changes.emit('change');
      callback(acknowledges ? undefined : NOT_ACKNOWLEDGED);
    };
    this.closed = new Promise((resolve) => mqtt.once('close', resolve));
  }

  connected({ properties }: IConnackPacket): void {
    this.inFlight = Math.min(MAX_IN_FLIGHT, properties?.receiveMaximum ?? MAX_IN_FLIGHT);
  }

  /** Subscribes at `qos` with Retain As Published. @param retained whether retained messages are asked for */
  async subscribe(filters: readonly string[], { qos = 1, retained = false, asPublished = true } = {}): Promise<void> {
    const options = { qos: qos as 0 | 1, rh: retained ? 0 : 2, rap: asPublished };
    const refused = refusedTopic(await this.mqtt.subscribeAsync([...filters], options));
    if (refused !== undefined) throw new Error(`the broker refused the subscription to ${refused}`);
  }

  /** @returns the reason code of the PUBACK */
  async publish(message: Message): Promise<number> {
    let reason: number | undefined;
    const onPacket = (packet: Packet): void => {
      if (packet.cmd === 'puback') reason ??= packet.reasonCode ?? 0;
    };
    this.mqtt.on('packetreceive', onPacket);
    try {
      await this.publishOne(message);
    } finally {
      this.mqtt.off('packetreceive', onPacket);
    }
    return reason ?? 0;
  }

  async publishAll(messages: readonly Message[]): Promise<void> {
    for (let from = 0; from < messages.length; from += this.inFlight)
      await Promise.all(messages.slice(from, from + this.inFlight).map((message) => this.publishOne(message)));
  }

  /** Waits until the condition holds, at most `limitMs`. @returns whether it holds */
  async until(condition: () => boolean, limitMs: number): Promise<boolean> {
    const signal = AbortSignal.timeout(limitMs);
    while (!condition()) {
      if (signal.aborted) return false;
      await once(this.changes, 'change', { signal }).catch(() => undefined);
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
    if (!this.mqtt.connected) return;
    this.mqtt.stream.destroy();
    await this.closed;
  }

  /** Disconnects. @param forget whether the broker is to remove the session */
  async end(forget = false): Promise<void> {
    await endMqtt(this.mqtt, CLOSE_MS, forget ? { properties: { sessionExpiryInterval: 0 } } : {});
  }

  private async publishOne({ topic, payload, retain = false, expirySeconds = EXPIRY_SECONDS }: Message): Promise<void> {
    await this.mqtt.publishAsync(topic, payload, {
      qos: 1,
      retain,
      properties: { messageExpiryInterval: expirySeconds },
    });
  }
}
