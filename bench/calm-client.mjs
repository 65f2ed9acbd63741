/**
 * A client that measures how long its handshakes take until they are answered: with `HANDSHAKE_RESPONSE=live`, after the
 * commit. If several answers wait, only the newest is sent: it ends the time of the handshakes before it, too.
 */
import { connectAsync } from 'mqtt';

/** An answer that takes longer fails the benchmark. */
const GIVE_UP_MS = 60_000;

export class CalmClient {
  /** @type {Map<string, () => void>} in the order of their handshakes */
  waiting = new Map();
  count = 0;

  /** @param {string} id @param {string} topic of its state @param {import('mqtt').MqttClient} mqtt */
  constructor(id, topic, mqtt) {
    this.id = id;
    this.topic = topic;
    this.mqtt = mqtt;
    mqtt.on('message', (_topic, data) => {
      const { in_response_to } = JSON.parse(data.toString());
      if (!this.waiting.has(in_response_to)) return;
      for (const [id, answered] of this.waiting) {
        answered();
        this.waiting.delete(id);
        if (id === in_response_to) return;
      }
    });
  }

  /** @param {string} url @param {string} id @param {string} topic */
  static async connect(url, id, topic = `redhat/insights/in/${id}`) {
    const mqtt = await connectAsync(url, { clientId: id, protocolVersion: 5 });
    // Nagle's algorithm would hold a handshake back until the broker has acknowledged the PUBACK before it, 40 ms later.
    /** @type {import('node:net').Socket} */ (/** @type {unknown} */ (mqtt.stream)).setNoDelay(true);
    await mqtt.subscribeAsync(`redhat/insights/out/${id}`, { qos: 1 });
    return new CalmClient(id, topic, mqtt);
  }

  /** @returns {Promise<number>} milliseconds until the answer arrives */
  shakeHands() {
    const id = `${this.id}-${++this.count}`;
    const startedAt = performance.now();
    const handshake = {
      ...{ type: 'host-handshake', message_id: id, version: 1, sent: new Date().toISOString() },
      payload: { canonical_facts: { fqdn: id } },
    };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to the handshake ${id}`)), GIVE_UP_MS);
      this.waiting.set(id, () => {
        clearTimeout(timer);
        resolve(performance.now() - startedAt);
      });
      this.mqtt.publish(this.topic, JSON.stringify(handshake), { qos: 1, retain: true });
    });
  }
}
