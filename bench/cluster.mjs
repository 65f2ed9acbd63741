/**
 * `npm run bench -- cluster [--parts load,hand-off,take-over,assign] [--messages 100000] [--warm-up 50000]
 * [--clients 10000] [--rate 0] [--rounds 5] [--lease-times 2s,3s]`
 *
 * What a cluster of ingesters costs: CPU per message with 1, 2 and 3 of them under the same load, at full speed or at a rate
 * that leaves the machine idle time; how long shards and the lane have no owner when the ingester with the lane stops, and
 * when it is killed; and how evenly and how fast 4,096 shards are assigned to 200 members.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../scripts/stack.mjs';
import { ROOT } from '../scripts/setup.mjs';
import { cpuSeconds, machine, metric, percentile, runScript } from './measure.mjs';

const SHARDS = 32;
const HAND_OFF_SUM = 'cloud_connector_hand_off_duration_seconds_sum';

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      parts: { type: 'string', default: 'load,hand-off,take-over,assign' },
      messages: { type: 'string', default: '100000' },
      'warm-up': { type: 'string', default: '50000' },
      clients: { type: 'string', default: '10000' },
      rate: { type: 'string', default: '0' },
      rounds: { type: 'string', default: '5' },
      'lease-times': { type: 'string', default: '2s,3s' },
    },
  });
  const parts = values.parts.split(',');
  const rounds = Number(values.rounds);
  console.log(machine());
  if (parts.includes('load')) {
    const load = {
      messages: Number(values.messages),
      warmUp: Number(values['warm-up']),
      clients: Number(values.clients),
      rate: Number(values.rate),
    };
    console.log(`${load.messages} handshakes of ${load.clients} clients, after ${load.warmUp} that are not counted`);
    /** @type {Record<string, unknown>} */
    const rows = {};
    for (const count of [1, 2, 3]) {
      rows[`${count} ingesters`] = await onStack(count, {}, (cluster) => measureLoad(cluster, load));
    }
    console.table(rows);
  }
  /** @type {Record<string, unknown>} */
  const rows = {};
  if (parts.includes('hand-off')) {
    rows['SIGTERM'] = await onStack(2, {}, (cluster) => measureLeaving(cluster, 'SIGTERM', rounds));
  }
  for (const lease of parts.includes('take-over') ? values['lease-times'].split(',') : []) {
    const row = await onStack(2, { LEASE_TIME: lease }, (cluster) => measureLeaving(cluster, 'SIGKILL', rounds));
    rows[`SIGKILL, LEASE_TIME=${lease}`] = row;
  }
  if (Object.keys(rows).length > 0) console.table(rows);
  if (parts.includes('assign')) console.table(await simulateAssignment(4096, 200));
}

/**
 * @typedef {Awaited<ReturnType<typeof startApp>>} Ingester
 * @typedef {{ brokerUrl: string, brokerPid: number | undefined, redisPid: number | undefined, ingesters: Ingester[],
 *   start: () => Promise<Ingester> }} Cluster
 * @typedef {{ messages: number, warmUp: number, clients: number, rate: number }} Load
 */

/**
 * Runs `work` on servers and ingesters of its own.
 * @template T
 * @param {number} count of ingesters
 * @param {Record<string, string>} settings
 * @param {(cluster: Cluster) => Promise<T>} work
 */
async function onStack(count, settings, work) {
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  try {
    const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
    const env = {
      REDIS_URL: redis.url,
      MQTT_URL: mosquitto.url,
      INTAKE_LANES: '1',
      SHARD_COUNT: `${SHARDS}`,
      LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
      CLIENT_BURST: '1000000',
      CLIENT_BYTES_RATE: '1073741824',
      ...settings,
    };
    let started = 0;
    const start = () => startApp('status-ingester', { dir, env, name: `status-ingester-${++started}` });
    /** @type {Ingester[]} */
    const ingesters = [];
    for (let i = 0; i < count; i++) ingesters.push(await start());
    await balanced(ingesters);
    return await work({
      ...{ brokerUrl: mosquitto.url, brokerPid: mosquitto.pid, redisPid: redis.pid },
      ...{ ingesters, start },
    });
  } finally {
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}

/** Waits until each acts for its share, and one for the lane. @param {Ingester[]} ingesters */
async function balanced(ingesters) {
  await waitUntil(
    async () => {
      const shards = await Promise.all(ingesters.map(({ url }) => metric(url, 'cloud_connector_shards_owned')));
      const lanes = await total(ingesters, 'cloud_connector_lanes_owned');
      const even = Math.max(...shards) - Math.min(...shards) <= 1;
      if (!even || shards.reduce((a, b) => a + b) !== SHARDS || lanes !== 1) throw new Error(`${shards}; ${lanes}`);
    },
    { what: 'a balanced cluster', timeoutMs: 60_000 },
  );
}

/** @param {Ingester[]} ingesters @param {string} name */
async function total(ingesters, name) {
  const values = await Promise.all(ingesters.map(({ url }) => metric(url, name)));
  return values.reduce((a, b) => a + b, 0);
}

/** @param {Cluster} cluster @param {Load} load */
async function measureLoad({ brokerUrl, brokerPid, redisPid, ingesters }, { messages, warmUp, clients, rate }) {
  const sample = async () => ({
    count: await total(ingesters, 'cloud_connector_mailbox_entries_applied_total'),
    commits: await total(ingesters, 'cloud_connector_commit_duration_seconds_count'),
    at: performance.now(),
    ours: ingesters.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
    broker: cpuSeconds(brokerPid),
    redis: cpuSeconds(redisPid),
  });
  /** @param {number} count */
  const reached = async (count) => {
    const giveUp = performance.now() + 600_000;
    for (;;) {
      const now = await sample();
      if (now.count >= count) return now;
      if (performance.now() > giveUp) throw new Error(`stuck at ${now.count} of ${count}`);
      await sleep(50);
    }
  };
  const publishing = runScript('load.mjs', [brokerUrl, warmUp + messages, clients, 0, rate]);
  const first = await reached(Math.max(1, warmUp));
  const last = await reached(warmUp + messages);
  await publishing;
  const count = last.count - first.count;
  const perMessage = (/** @type {'ours' | 'broker' | 'redis'} */ key) =>
    Number((((last[key] - first[key]) / count) * 1e6).toFixed(1));
  return {
    'messages/s': Math.round(count / ((last.at - first.at) / 1000)),
    'messages/commit': Number((count / (last.commits - first.commits)).toFixed(1)),
    'CPU µs/message': perMessage('ours'),
    'broker µs/message': perMessage('broker'),
    'redis µs/message': perMessage('redis'),
  };
}

/**
 * Signals the ingester that owns the lane and half of the shards, and waits until the other one owns everything.
 * @param {Cluster} cluster @param {'SIGTERM' | 'SIGKILL'} signal @param {number} rounds
 */
async function measureLeaving({ ingesters, start }, signal, rounds) {
  /** @type {number[]} */
  const times = [];
  /** @type {number[]} */
  const handOffs = [];
  for (let round = 0; round < rounds; round++) {
    const lanes = await Promise.all(ingesters.map(({ url }) => metric(url, 'cloud_connector_lanes_owned')));
    const [leaving] = ingesters.splice(lanes.indexOf(1), 1);
    if (leaving === undefined) throw new Error('no ingester owns the lane');
    await sleep(Math.random() * 2000); // anywhere between two renewals
    const startedAt = performance.now();
    leaving.child.kill(signal);
    await waitUntil(
      async () => {
        const shards = await total(ingesters, 'cloud_connector_shards_owned');
        if (shards !== SHARDS || (await total(ingesters, 'cloud_connector_lanes_owned')) !== 1)
          throw new Error(`${shards}`);
      },
      { what: 'an owner of everything', timeoutMs: 60_000, everyMs: 5 },
    );
    times.push(performance.now() - startedAt);
    await leaving.ended;
    // The ingester that ended has no metrics any more; the other one measures its hand-off to a new ingester.
    const before = await total(ingesters, HAND_OFF_SUM);
    const staying = [...ingesters];
    ingesters.push(await start());
    await balanced(ingesters);
    handOffs.push(((await total(staying, HAND_OFF_SUM)) - before) * 1000);
  }
  const ms = (/** @type {number} */ value) => Number(value.toFixed(0));
  return {
    rounds,
    'median ms': ms(percentile(times, 0.5)),
    'worst ms': ms(Math.max(...times)),
    'half to a newcomer, sum, median ms': ms(percentile(handOffs, 0.5)),
  };
}

/** @param {number} count of shards @param {number} size of the cluster */
async function simulateAssignment(count, size) {
  /** @type {typeof import('../libs/sharding/src/assignment.js')} */
  const { assign } = await import(join(ROOT, 'dist/libs/sharding/src/assignment.js'));
  /** @type {number[]} */
  const times = [];
  /** @param {string[]} ids @param {(string | undefined)[]} before */
  const share = (ids, before) => {
    const holds = new Map(ids.map((id) => [id, /** @type {number[]} */ ([])]));
    before.forEach((id, index) => holds.get(id ?? '')?.push(index));
    const members = ids.map((id) => ({ id, holds: holds.get(id) ?? [], draining: false }));
    const startedAt = performance.now();
    const owners = assign(members, count);
    times.push(performance.now() - startedAt);
    return owners;
  };
  const moves = (/** @type {(string | undefined)[]} */ a, /** @type {(string | undefined)[]} */ b) =>
    a.filter((id, index) => id !== b[index]).length;
  const row = (/** @type {(string | undefined)[]} */ owners, /** @type {string[]} */ ids) => {
    const held = ids.map((id) => owners.filter((owner) => owner === id).length);
    return { members: ids.length, 'least held': Math.min(...held), 'most held': Math.max(...held) };
  };
  const ids = Array.from({ length: size }, (_, i) => `member-${i}`);
  const steady = share(ids, []);
  const more = [...ids, 'newcomer'];
  const joined = share(more, steady);
  const fewer = ids.slice(1);
  const left = share(fewer, steady);
  const rows = {
    start: row(steady, ids),
    'a join': { ...row(joined, more), moves: moves(steady, joined), 'least possible': Math.floor(count / more.length) },
    'a leave': {
      ...row(left, fewer),
      ...{ moves: moves(steady, left), 'least possible': steady.filter((id) => id === ids[0]).length },
    },
  };
  times.length = 0;
  for (let i = 0; i < 200; i++) share(i % 2 === 0 ? more : fewer, steady);
  console.log(
    `assign: ${percentile(times, 0.5).toFixed(2)} ms a call, 99th percentile ${percentile(times, 0.99).toFixed(2)}`,
  );
  return rows;
}
