/**
 * The clients of the topics benchmark, in a process of their own: `node bench/topics-load.mjs <mqtt url> <load as JSON>`.
 * They send handshakes on status topics and `message-error`s on the `in` topic, all at QoS 1. Half of them are proxies. A
 * client has one status topic, by its number. With a rate, so many messages a second are sent; without, as many as the
 * broker accepts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt from 'mqtt';

/**
 * @typedef {{ statusTopics: string[], inTopic: string, clients: number, messages: number, handshakeEvery: number,
 *   rate: number, round: string }} TopicsLoad `handshakeEvery`: each n-th message of a client is a handshake; none with 0.
 *   `round`: is part of what the messages say, so that none is like one of another round.
 */

const UNDER_WAY = 500;
const [url = '', text = '{}'] = process.argv.slice(2);
/** @type {TopicsLoad} */
const { statusTopics, inTopic, clients, messages, handshakeEvery, rate, round } = JSON.parse(text);
const client = await mqtt.connectAsync(url, { protocolVersion: 5, clientId: `bench-load-${process.pid}` });

/** @param {number} n */
function send(n) {
  const number = n % clients;
  const id = `client-${number}`;
  const envelope = { version: 1, sent: '2026-01-01T00:00:00Z' };
  // Handshakes are spread evenly over time.
  const turn = Math.floor(n / clients) + number;
  if (handshakeEvery > 0 && turn % handshakeEvery === 0) {
    const topic = /** @type {string} */ (statusTopics[number % statusTopics.length]).replace('{clientId}', id);
    return client.publishAsync(
      topic,
      JSON.stringify({ ...envelope, message_id: `${round}-${n}`, ...stateOf(number) }),
      { qos: 1, retain: true },
    );
  }
  // A repeated id is stored and has no further effect, so that nothing is measured but the way from the broker to the registry.
  const error = {
    ...{ ...envelope, message_id: `error-${id}`, type: 'message-error', in_response_to: 'unknown' },
    payload: { details: `${round}-${n}: no such job` },
  };
  return client.publishAsync(inTopic.replace('{clientId}', id), JSON.stringify(error), { qos: 1 });
}

/** @param {number} number */
function stateOf(number) {
  if (number % 2 === 1) {
    const catalog_service_facts = { source_type: 'automation-controller', application_type: 'catalog' };
    return { type: 'proxy-handshake', payload: { catalog_service_facts } };
  }
  const canonical_facts = {
    machine_id: `3fb0c7be-89cb-4f19-84b7-${String(number).padStart(12, '0')}`,
    fqdn: `host-${number}.example.com`,
    ip_addresses: [`192.0.2.${number % 256}`],
  };
  return { type: 'host-handshake', payload: { canonical_facts } };
}

let next = 0;
if (rate > 0) {
  const from = performance.now();
  /** @type {Promise<unknown>[]} */
  const sent = [];
  while (next < messages) {
    const due = Math.min(messages, ((performance.now() - from) / 1000) * rate);
    while (next < due) sent.push(send(next++));
    await sleep(5);
  }
  await Promise.all(sent);
} else {
  const one = async () => {
    while (next < messages) await send(next++);
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, one));
}
await client.endAsync();
