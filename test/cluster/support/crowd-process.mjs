/**
 * Many clients in a separate process, so that they do not delay the proxies of the ingesters.
 * After the message `{ connect: handshakes, visit }` all clients connect at the same time, and each sends this number of
 * handshakes; the answer has the acknowledged handshakes of each client, in order. After `{ vanish: true }` all connections
 * end without DISCONNECT.
 */
import { randomUUID } from 'node:crypto';
import { connectAsync } from 'mqtt';

const [url = '', count = '0'] = process.argv.slice(2);
/** @type {import('mqtt').MqttClient[]} */
let connected = [];

process.on('message', (/** @type {{ connect?: number, visit?: number }} */ { connect, visit }) => {
  const done = connect === undefined ? vanish() : shakeHands(connect, visit ?? 0);
  done.then(
    (acknowledged) => process.send?.({ acknowledged }),
    (error) => process.send?.({ error: String(error) }),
  );
});

/** @param {string} type @param {object} more */
function envelope(type, more = {}) {
  return JSON.stringify({ type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...more });
}

/** @param {number} handshakes @param {number} visit */
function shakeHands(handshakes, visit) {
  return Promise.all(
    Array.from({ length: Number(count) }, async (_, i) => {
      const clientId = `crowd-${i}`;
      const topic = `redhat/insights/in/${clientId}`;
      const mqtt = await connectAsync(url, {
        clientId,
        protocolVersion: i % 2 === 0 ? 4 : 5,
        reconnectPeriod: 0,
        will: { topic, payload: Buffer.from(envelope('offline')), qos: 1, retain: true },
      });
      connected.push(mqtt);
      /** @type {string[]} */
      const ids = [];
      for (let n = 0; n < handshakes; n++) {
        const id = `${clientId}/${visit}.${n}`;
        const payload = { canonical_facts: { fqdn: `${id}.example.com` } };
        await mqtt.publishAsync(topic, envelope('host-handshake', { message_id: id, payload }), {
          qos: 1,
          retain: true,
        });
        ids.push(id);
      }
      return /** @type {const} */ ([clientId, ids]);
    }),
  );
}

async function vanish() {
  const leaving = connected;
  connected = [];
  await Promise.all(
    leaving.map((mqtt) => {
      const closed = new Promise((resolve) => mqtt.once('close', () => resolve(undefined)));
      mqtt.stream.destroy();
      return closed;
    }),
  );
  return [];
}
