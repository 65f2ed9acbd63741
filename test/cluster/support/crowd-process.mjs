/**
 * Many clients in a process of their own: the proxies of the ingesters must not have to wait for them.
 * Told `{ come: times, visit }`, all connect at once and shake hands so many times; what the broker has acknowledged is
 * answered by client, in order. Told `{ vanish: true }`, all connections are gone without a goodbye.
 */
import { randomUUID } from 'node:crypto';
import { connectAsync } from 'mqtt';

const [url = '', count = '0'] = process.argv.slice(2);
/** @type {import('mqtt').MqttClient[]} */
let present = [];

process.on('message', (/** @type {{ come?: number, visit?: number }} */ { come, visit }) => {
  const done = come === undefined ? vanish() : shakeHands(come, visit ?? 0);
  done.then(
    (acknowledged) => process.send?.({ acknowledged }),
    (error) => process.send?.({ error: String(error) }),
  );
});

/** @param {string} type @param {object} more */
function envelope(type, more = {}) {
  return JSON.stringify({ type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...more });
}

/** @param {number} times @param {number} visit */
function shakeHands(times, visit) {
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
      present.push(mqtt);
      /** @type {string[]} */
      const ids = [];
      for (let n = 0; n < times; n++) {
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
  const leaving = present;
  present = [];
  await Promise.all(
    leaving.map((mqtt) => {
      const gone = new Promise((resolve) => mqtt.once('close', () => resolve(undefined)));
      mqtt.stream.destroy();
      return gone;
    }),
  );
  return [];
}
