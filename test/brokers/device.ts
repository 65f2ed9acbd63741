/** A client of the service that reconnects by itself, as docs/protocol.md says, and records the messages that it gets. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { envelope } from '../support/mqtt-client.js';

/** The first pause before an attempt to reconnect: 1 to 2 s. */
const PAUSE_MS = 1000;
const CONNECT_TIMEOUT_MS = 5000;
/** It sends a handshake with each so many messages, so that the intake has work while messages are published. */
const MESSAGES_A_HANDSHAKE = 5;

export class Device {
  /** Message ids in the order of arrival, with repeats. */
  readonly received: string[] = [];
  /** The last handshake that the broker has acknowledged. */
  handshakeId = '';
  private mqtt: MqttClient | undefined;
  private leaving = false;

  constructor(
    readonly id: string,
    private readonly url: string,
    private readonly version: 4 | 5,
  ) {}

  get connected(): boolean {
    return this.mqtt?.connected === true;
  }

  /** Each message id once, in the order of first arrival. */
  get distinct(): string[] {
    return [...new Set(this.received)];
  }

  async connect(): Promise<void> {
    const mqtt = await connectAsync(this.url, {
      clientId: this.id,
      protocolVersion: this.version,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      will: { topic: this.inTopic, payload: Buffer.from(envelope('offline')), qos: 1, retain: true },
    });
    mqtt.on('error', () => undefined);
    mqtt.on('message', (_topic, data) => this.receive(data));
    const closed = new Promise<void>((resolve) => mqtt.once('close', resolve));
    void closed.then(() => this.reconnect());
    this.mqtt = mqtt;
    // If the connection closes, MQTT.js does not settle all of its promises.
    const isReady = mqtt
      .subscribeAsync(`redhat/insights/out/${this.id}`, { qos: 1 })
      .then(() => this.shakeHands())
      .then(() => true);
    isReady.catch(() => undefined);
    const ready = await Promise.race([isReady, closed.then(() => false)]);
    if (!ready) throw new Error(`the broker closed the connection of ${this.id}`);
  }

  /** Publishes a handshake with other facts than before. */
  async shakeHands(): Promise<void> {
    const handshakeId = randomUUID();
    const facts = { fqdn: `${this.id}.example.com`, visit: handshakeId };
    const text = envelope('host-handshake', { message_id: handshakeId, payload: { canonical_facts: facts } });
    await this.mqtt?.publishAsync(this.inTopic, text, { qos: 1, retain: true });
    this.handshakeId = handshakeId;
  }

  /** Closes the socket without a DISCONNECT, so that the broker publishes the last will; then it reconnects. */
  vanish(): void {
    this.mqtt?.stream.destroy();
  }

  /** Ends without a goodbye, and for ever. */
  end(): void {
    this.leaving = true;
    this.mqtt?.end(true);
  }

  private get inTopic(): string {
    return `redhat/insights/in/${this.id}`;
  }

  private async reconnect(): Promise<void> {
    for (;;) {
      await sleep(PAUSE_MS * (1 + Math.random()), undefined, { ref: false });
      // A connection that was made and closed again has its own call of this.
      const before = this.mqtt;
      if (
        this.leaving ||
        (await this.connect().then(
          () => true,
          () => this.mqtt !== before,
        ))
      )
        return;
    }
  }

  private receive(data: Buffer): void {
    const { type, message_id } = JSON.parse(data.toString()) as { type: string; message_id: string };
    if (type !== 'message') return;
    this.received.push(message_id);
    // If the connection closes now, the device sends a handshake when it has reconnected.
    if (this.received.length % MESSAGES_A_HANDSHAKE === 0) this.shakeHands().catch(() => undefined);
  }
}
