/**
 * A process of the ingest benchmark: publishes connection messages of many clients at QoS 1, retained.
 * `node bench/load.mjs <mqtt url> <messages> <clients> <offline every> [<rate>]`: every n-th message of a client is an
 * `offline`, none with 0; the others are handshakes, each with a new id. The rate is in messages a second; with 0, they go
 * as fast as the broker accepts them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt from 'mqtt';

const [url = '', total = '0', clients = '1', offlineEvery = '0', rate = '0'] = process.argv.slice(2);
const client = await mqtt.connectAsync(url, { protocolVersion: 5, clientId: `bench-load-${process.pid}` });
let next = 0;
let acknowledged = 0;

function messageOf(/** @type {number} */ n) {
  const id = n % Number(clients);
  const round = Math.floor(n / Number(clients));
  const envelope = {
    type: offlineEvery !== '0' && (round + 1) % Number(offlineEvery) === 0 ? 'offline' : 'host-handshake',
    message_id: `bench-${n}`,
    version: 1,
    sent: '2026-01-01T00:00:00+00:00',
  };
  if (envelope.type === 'offline') return { id, text: JSON.stringify(envelope) };
  const canonical_facts = {
    insights_id: `cabb61b6-e61d-4d70-b475-${String(id).padStart(12, '0')}`,
    machine_id: `3fb0c7be-89cb-4f19-84b7-${String(id).padStart(12, '0')}`,
    fqdn: `host-${id}.example.com`,
    ip_addresses: [`192.0.2.${id % 256}`],
    mac_addresses: ['52:54:00:66:ea:9a'],
  };
  return { id, text: JSON.stringify({ ...envelope, payload: { canonical_facts } }) };
}

/** @param {number} perSecond @param {() => void} publish */
async function pace(perSecond, publish) {
  const from = performance.now();
  let done = 0;
  while (done < Number(total)) {
    const due = ((performance.now() - from) / 1000) * perSecond;
    for (; done < due; done++) publish();
    await sleep(5);
  }
}

await new Promise((resolve) => {
  function publish(/** @type {() => void} */ then = () => undefined) {
    if (next >= Number(total)) return;
    const { id, text } = messageOf(next++);
    client.publish(`redhat/insights/in/bench-${id}`, text, { qos: 1, retain: true }, () => {
      if (++acknowledged === Number(total)) resolve(undefined);
      else then();
    });
  }
  const again = () => publish(again);
  if (Number(rate) > 0) void pace(Number(rate), publish);
  else for (let i = 0; i < 500; i++) again();
});
await client.endAsync();
console.log(`published ${acknowledged}`);
