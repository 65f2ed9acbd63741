/**
 * `npm run bench -- retained [--clients 20000] [--seconds 60]`
 *
 * What saving costs Mosquitto: it retains a handshake of each client, once with the settings that the service advises and
 * once with `autosave_on_changes`, which writes the whole database after changes. Each run ends after `--seconds`, finished
 * or not. Then it is asked to save once, which shows how long it does not answer.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';
import { SAVED_AT_EACH_CHANGE, startMosquitto, stopAll, waitUntil } from '../scripts/stack.mjs';
import { cpuSeconds, machine } from './measure.mjs';

/** How many publishes wait for a PUBACK at a time: as many as the broker accepts from one client. */
const UNDER_WAY = 500;
/** The pause between two pings while the broker saves. */
const ASK_EVERY_MS = 1;

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: { clients: { type: 'string', default: '20000' }, seconds: { type: 'string', default: '60' } },
  });
  const [clients, seconds] = [Number(values.clients), Number(values.seconds)];
  console.log(machine());
  console.log(`handshakes of ${clients} clients, retained; ${seconds} s at most`);
  console.table({
    'saved each minute': await measure({ clients, seconds, config: [] }),
    'saved at each change': await measure({ clients, seconds, config: SAVED_AT_EACH_CHANGE }),
  });
}

/** @param {{ clients: number, seconds: number, config: string[] }} options */
async function measure({ clients, seconds, config }) {
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  try {
    const broker = await startMosquitto({ dir, persist: true, config });
    const client = await mqtt.connectAsync(broker.url, { protocolVersion: 5 });
    const cpu = cpuSeconds(broker.pid);
    const startedAt = performance.now();
    const { done, lastRate } = await publish(client, clients, startedAt + seconds * 1000);
    const took = (performance.now() - startedAt) / 1000;
    const brokerCpu = cpuSeconds(broker.pid) - cpu;
    const saving = await savingMs(client, broker.pid ?? 0, join(dir, 'mosquitto/mosquitto.db'));
    await client.endAsync(true);
    return {
      published: done,
      seconds: Number(took.toFixed(1)),
      'handshakes/s': Math.round(done / took),
      'of the last 1,000': Math.round(lastRate),
      'broker CPU µs each': Math.round((brokerCpu / done) * 1e6),
      'one save, ms': Math.round(saving),
    };
  } finally {
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}

/** @param {mqtt.MqttClient} client @param {number} count @param {number} until */
async function publish(client, count, until) {
  let [next, done, lastRate, thousandAt] = [0, 0, NaN, performance.now()];
  const one = async () => {
    while (next < count && performance.now() < until) {
      const n = next++;
      await client.publishAsync(`redhat/insights/in/bench-${n}`, handshake(n), { qos: 1, retain: true });
      if (++done % 1000 > 0) continue;
      const now = performance.now();
      lastRate = 1_000_000 / (now - thousandAt);
      thousandAt = now;
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, one));
  return { done, lastRate };
}

/** The longest time that the broker takes to answer while it saves. @param {mqtt.MqttClient} client @param {number} pid @param {string} file */
async function savingMs(client, pid, file) {
  const asked = Date.now();
  process.kill(pid, 'SIGUSR1');
  let longest = 0;
  await waitUntil(
    async () => {
      const startedAt = performance.now();
      await client.publishAsync('bench/ping', '', { qos: 1 });
      longest = Math.max(longest, performance.now() - startedAt);
      if (statSync(file).mtimeMs < asked) throw new Error('not saved yet');
    },
    { what: 'the broker to save', everyMs: ASK_EVERY_MS },
  );
  return longest;
}

/** @param {number} n */
function handshake(n) {
  const canonical_facts = {
    insights_id: `cabb61b6-e61d-4d70-b475-${String(n).padStart(12, '0')}`,
    machine_id: `3fb0c7be-89cb-4f19-84b7-${String(n).padStart(12, '0')}`,
    fqdn: `host-${n}.example.com`,
    ip_addresses: [`192.0.2.${n % 256}`],
    mac_addresses: ['52:54:00:66:ea:9a'],
  };
  return JSON.stringify({
    ...{ type: 'host-handshake', message_id: `bench-${n}`, version: 1, sent: '2026-01-01T00:00:00+00:00' },
    payload: { canonical_facts },
  });
}
