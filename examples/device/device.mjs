#!/usr/bin/env node
/**
 * A device that stays connected to Cloud Connector. Copy it and put your own work into `onMessage`.
 *
 *   node device.mjs --id my-host [--url mqtt://127.0.0.1:1883] [--proxy]
 *
 * Needs one package: mqtt.
 */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';

export class Device {
  /** Ids of messages done before: the service may send one twice. */
  #done = new Set();

  /**
   * @param {object} options
   * @param {string} options.id the client id: one topic level
   * @param {string} options.url
   * @param {boolean} [options.proxy] stand for another system instead of being a host
   * @param {4 | 5} [options.protocolVersion] MQTT 3.1.1 or 5
   * @param {(message: { directive: string, payload?: unknown }) => unknown} [options.onMessage]
   *   throws where the message cannot be done: the service is told, and the message becomes `failed`
   * @param {(line: string) => void} [options.log]
   */
  constructor({ id, url, proxy = false, protocolVersion = 5, onMessage = () => undefined, log = () => undefined }) {
    this.id = id;
    this.proxy = proxy;
    this.onMessage = onMessage;
    this.log = log;
    this.inTopic = `redhat/insights/in/${id}`;
    this.outTopic = `redhat/insights/out/${id}`;
    this.client = mqtt.connect(url, {
      clientId: id,
      protocolVersion,
      clean: true,
      // Said by the broker if this device vanishes: it replaces the handshake.
      will: { topic: this.inTopic, payload: Buffer.from(this.#envelope('offline')), qos: 1, retain: true },
    });
    this.client.on('connect', () => this.#shakeHands().catch((error) => this.log(`handshake: ${error.message}`)));
    this.client.on('message', (_topic, data) => this.#receive(JSON.parse(data.toString())));
    this.client.on('error', (error) => this.log(`connection: ${error.message}`));
  }

  /** Subscribes first, so that nothing sent after the handshake is missed. */
  async #shakeHands() {
    await this.client.subscribeAsync(this.outTopic, { qos: 1 });
    const handshake = this.proxy
      ? this.#envelope('proxy-handshake', {
          payload: { catalog_service_facts: { source_type: 'example', application_type: 'example' } },
        })
      : this.#envelope('host-handshake', {
          payload: { canonical_facts: { fqdn: `${this.id}.example.com`, ip_addresses: ['192.0.2.1'] } },
        });
    await this.client.publishAsync(this.inTopic, handshake, { qos: 1, retain: true });
    this.log('connected');
  }

  /** @param {any} message */
  async #receive(message) {
    switch (message.type) {
      case 'message':
        if (this.#done.has(message.message_id)) return;
        this.#remember(message.message_id);
        this.log(`message ${message.directive} ${JSON.stringify(message.payload)}`);
        try {
          await this.onMessage(message);
        } catch (error) {
          const details = error instanceof Error ? error.message : String(error);
          const answer = this.#envelope('message-error', { in_response_to: message.message_id, payload: { details } });
          await this.client.publishAsync(this.inTopic, answer, { qos: 1 });
        }
        return;
      case 'force-disconnect':
        this.log(`told to disconnect, and to come back after ${message.payload.reconnect_after}`);
        return this.stop();
      case 'handshake-error':
        this.log(`handshake refused: ${message.payload.details}`);
        return this.stop();
    }
  }

  /** @param {string} messageId */
  #remember(messageId) {
    this.#done.add(messageId);
    const [oldest] = this.#done;
    if (this.#done.size > 1000) this.#done.delete(oldest);
  }

  /** Says goodbye and leaves nothing behind: `offline`, then the retained handshake is removed. */
  async stop() {
    if (this.client.disconnecting) return;
    await this.client.publishAsync(this.inTopic, this.#envelope('offline'), { qos: 1 });
    await this.client.publishAsync(this.inTopic, '', { qos: 1, retain: true });
    await this.client.endAsync();
    this.log('disconnected');
  }

  /** @param {string} type */
  #envelope(type, more = {}) {
    return JSON.stringify({ type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...more });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      id: { type: 'string', default: `device-${randomUUID().slice(0, 8)}` },
      url: { type: 'string', default: 'mqtt://127.0.0.1:1883' },
      proxy: { type: 'boolean', default: false },
    },
  });
  const device = new Device({ ...values, log: (line) => console.log(`${values.id}: ${line}`) });
  process.on('SIGINT', () => device.stop());
  process.on('SIGTERM', () => device.stop());
}
