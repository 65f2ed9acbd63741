/** A client of the service as an independent developer would write it: plain MQTT 3.1.1 or 5, and no code of the service. */
import { randomUUID } from 'node:crypto';
import { connectAsync, type MqttClient } from 'mqtt';
import { waitUntil } from '../../scripts/stack.mjs';

export interface ReceivedMessage {
  type: string;
  message_id: string;
  directive?: string;
  payload?: unknown;
  in_response_to?: string | null;
}

export class TestClient {
  readonly received: ReceivedMessage[] = [];
  /** The text of each, unparsed. */
  readonly texts: string[] = [];

  private constructor(
    readonly id: string,
    readonly mqtt: MqttClient,
  ) {
    mqtt.on('message', (_topic, data) => {
      this.texts.push(data.toString());
      this.received.push(JSON.parse(data.toString()) as ReceivedMessage);
    });
  }

  /** Each message once, in the order of first arrival: the service publishes a message at least once, always with the same id. */
  get distinct(): ReceivedMessage[] {
    const ids = this.received.map(({ message_id }) => message_id);
    return this.received.filter(({ message_id }, i) => ids.indexOf(message_id) === i);
  }

  static async connect(url: string, id: string, protocolVersion: 4 | 5 = 5): Promise<TestClient> {
    const mqtt = await connectAsync(url, {
      clientId: id,
      protocolVersion,
      clean: true,
      reconnectPeriod: 0,
      will: { topic: inTopic(id), payload: Buffer.from(envelope('offline')), qos: 1, retain: true },
    });
    const client = new TestClient(id, mqtt);
    await mqtt.subscribeAsync(`redhat/insights/out/${id}`, { qos: 1 });
    return client;
  }

  async shakeHands(facts: Record<string, unknown> = { fqdn: `${this.id}.example.com` }): Promise<string> {
    const id = randomUUID();
    await this.publish(envelope('host-handshake', { message_id: id, payload: { canonical_facts: facts } }), true);
    return id;
  }

  async shakeHandsAsProxy(): Promise<void> {
    const facts = { source_type: 'example', application_type: 'catalog' };
    await this.publish(envelope('proxy-handshake', { payload: { catalog_service_facts: facts } }), true);
  }

  async reportError(messageId: string, details: string): Promise<void> {
    await this.publish(envelope('message-error', { in_response_to: messageId, payload: { details } }), false);
  }

  /** Publishes `offline`, removes the retained handshake, and disconnects. */
  async sayGoodbye(): Promise<void> {
    await this.publish(envelope('offline'), false);
    await this.publish('', true);
    await this.mqtt.endAsync();
  }

  /** Closes the socket without a DISCONNECT, so that the broker publishes the last will. */
  vanish(): void {
    this.mqtt.stream.destroy();
  }

  async publish(payload: string, retain: boolean): Promise<void> {
    await this.mqtt.publishAsync(inTopic(this.id), payload, { qos: 1, retain });
  }

  /** Waits until a message that fits has arrived. It waits for a minute, because a lost wake-up is repeated only after some seconds. */
  async waitFor(what: string, fits: (message: ReceivedMessage) => boolean): Promise<ReceivedMessage> {
    return waitUntil(
      () => {
        const found = this.received.find(fits);
        return found === undefined ? Promise.reject(new Error(`${what} has not arrived`)) : Promise.resolve(found);
      },
      { what: `${what} at ${this.id}` },
    );
  }
}

export function envelope(type: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...more });
}

/** A valid handshake of this client. */
export function handshakeOf(id: string): string {
  return envelope('host-handshake', { payload: { canonical_facts: { fqdn: `${id}.example.com` } } });
}

function inTopic(id: string): string {
  return `redhat/insights/in/${id}`;
}
