/** Receives the messages of all clients of a test over one MQTT connection, without code of the service. */
import { connectAsync, type MqttClient } from 'mqtt';
import { envelope } from '../../support/mqtt-client.js';

export class Subscriber {
  /** The received message ids of each client, in their order. */
  readonly received = new Map<string, string[]>();
  count = 0;

  private constructor(private readonly mqtt: MqttClient) {
    mqtt.on('message', (topic, data) => {
      const client = topic.slice(topic.lastIndexOf('/') + 1);
      const { message_id: id } = JSON.parse(data.toString()) as { message_id: string };
      const ids = this.received.get(client);
      if (ids === undefined) this.received.set(client, [id]);
      else ids.push(id);
      this.count++;
    });
  }

  static async connect(url: string): Promise<Subscriber> {
    const mqtt = await connectAsync(url, {
      protocolVersion: 5,
      clientId: 'the-subscriber',
      clean: false,
      properties: { sessionExpiryInterval: 600 },
    });
    await mqtt.subscribeAsync('redhat/insights/out/+', { qos: 1 });
    return new Subscriber(mqtt);
  }

  /** Publishes a handshake for each client. */
  async register(ids: readonly string[]): Promise<void> {
    await Promise.all(
      ids.map((id) => {
        const handshake = envelope('host-handshake', { payload: { canonical_facts: { fqdn: id } } });
        return this.mqtt.publishAsync(`redhat/insights/in/${id}`, handshake, { qos: 1, retain: true });
      }),
    );
  }

  async close(): Promise<void> {
    await this.mqtt.endAsync();
  }
}

/** Each id once, in the order of first arrival. */
export function firsts(ids: readonly string[]): string[] {
  return [...new Set(ids)];
}
