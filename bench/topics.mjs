/**
 * `npm run bench -- topics [--arrangements one,apart,types,types-8,lanes] [--rounds 3] [--clients 2000] [--messages 12000]
 * [--rate 2000] [--samples 400] [--json FILE]`
 *
 * Whether more topics help with the load. The same clients send the same messages with one topic for all (the default), status
 * apart from `in`, a status topic for each type, and eight; each on a stack of its own, in turns. `lanes`: status and `in` in
 * sessions of their own, which no setting can say (`topics-lanes-apart.mjs`). Each turn measures
 *
 * - `full`: a handshake and four `message-error`s of each client, as fast as the broker accepts;
 * - `steady`: `message-error`s at a rate, while calm clients shake hands: the CPU of each process, and how long a handshake
 *   takes until its `handshake-response`, which is sent after the commit;
 * - `burst`: the same while the `message-error`s are sent as fast as the broker accepts;
 * - `verify`: a verification of each client, which reads all its status topics: the CPU of all processes.
 *
 * A turn is compared with the turn of `one` in the same round; `--json` writes the medians of both.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../scripts/stack.mjs';
import { CalmClient } from './calm-client.mjs';
import { machine, metric, percentile, runScript } from './measure.mjs';
import { requestVerifications } from './reconciliation-verifications.mjs';
import { median } from './turns.mjs';

/**
 * @typedef {{ statusTopics: string[], inTopic: string, settings?: Record<string, string> }} Arrangement
 * @typedef {{ clients: number, messages: number, rate: number, samples: number }} Load
 * @typedef {Awaited<ReturnType<typeof turn>>} Figures
 * @typedef {Awaited<ReturnType<typeof start>>} Stack
 */

const IN = 'redhat/insights/in/{clientId}';
const STATUS = 'redhat/insights/status/{clientId}';
const CALM = 20;
const EVERY_MS = 5;
const GIVE_UP_MS = 120_000;
const VERIFICATIONS = 'cloud_connector_verifications_total';
/** Ordinary clients send a handshake and four other messages in turn. */
const HANDSHAKE_EVERY = 5;

/** @param {number} count */
const byType = (count) => Array.from({ length: count }, (_, i) => `redhat/insights/status/type-${i}/{clientId}`);

const APART = { statusTopics: [STATUS], inTopic: IN };
const LANES = `--import=${fileURLToPath(new URL('topics-lanes-apart.mjs', import.meta.url))}`;
/** @type {Record<string, Arrangement>} */
const ARRANGEMENTS = {
  one: { statusTopics: [IN], inTopic: IN },
  apart: APART,
  types: { statusTopics: byType(2), inTopic: IN },
  'types-8': { statusTopics: byType(8), inTopic: IN },
  lanes: { ...APART, settings: { INTAKE_LANES: '2', NODE_OPTIONS: LANES } },
};

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      arrangements: { type: 'string', default: Object.keys(ARRANGEMENTS).join(',') },
      rounds: { type: 'string', default: '3' },
      clients: { type: 'string', default: '2000' },
      messages: { type: 'string', default: '12000' },
      rate: { type: 'string', default: '2000' },
      samples: { type: 'string', default: '400' },
      json: { type: 'string' },
    },
  });
  const { clients, messages, rate, samples } = values;
  const load = { clients: Number(clients), messages: Number(messages), rate: Number(rate), samples: Number(samples) };
  const names = values.arrangements.split(',');
  const unknown = names.filter((name) => !(name in ARRANGEMENTS));
  if (unknown.length > 0) throw new Error(`unknown arrangements: ${unknown.join(', ')}`);
  console.log(machine());
  console.log(`${clients} clients, ${messages} messages, ${rate} a second when steady; ${values.rounds} rounds`);
  /** @type {Map<string, Figures[]>} */
  const results = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    // No arrangement is always the first one.
    const order = names.map((_, i) => /** @type {string} */ (names[(i + round) % names.length]));
    for (const name of order) {
      results.get(name)?.push(await turn(/** @type {Arrangement} */ (ARRANGEMENTS[name]), load));
    }
  }
  const summaries = Object.fromEntries(
    names.map((name) => [name, summarize(results.get(name) ?? [], results.get('one'))]),
  );
  console.table(turned(mapValues(summaries, ({ medians }) => medians)));
  if (names.includes('one')) {
    console.log('of the turn with one topic in the same round; median, and least to most of the rounds:');
    console.table(turned(mapValues(summaries, ({ ofOne }) => mapValues(ofOne, spreadText))));
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(summaries, null, 2)}\n`);
}

/** @param {Arrangement} arrangement @param {Load} load */
async function turn(arrangement, load) {
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  try {
    const stack = await start(dir, arrangement);
    const calm = await Promise.all(Array.from({ length: CALM }, (_, i) => calmClient(stack, arrangement, i)));
    const mixed = { ...arrangement, ...load, handshakeEvery: HANDSHAKE_EVERY, rate: 0 };
    const chat = { ...mixed, handshakeEvery: 0 };
    // Code that is not compiled yet costs several times as much.
    await send(stack, { ...mixed, messages: load.clients, handshakeEvery: 1, round: 'first' });
    await Promise.all([send(stack, { ...mixed, round: 'warm-up' }), latencies(calm, load.samples)]);

    const full = await send(stack, { ...mixed, round: 'full' });
    const seconds = (load.samples * EVERY_MS) / 1000;
    const paced = { ...chat, rate: load.rate, messages: Math.ceil(load.rate * seconds), round: 'steady' };
    const [steady, calmly] = await Promise.all([send(stack, paced), latencies(calm, load.samples)]);
    const stop = new AbortController();
    const burst = send(stack, { ...chat, round: 'burst' }).finally(() => stop.abort());
    const [, pressed] = await Promise.all([burst, latencies(calm, load.samples, stop.signal)]);
    for (const { mqtt } of calm) mqtt.end(true);
    const unasked = await metric(stack.ingester.url, VERIFICATIONS);
    await verify(stack, load.clients);
    return {
      ...{ 'full, messages/s': full.rate, 'full, ingester µs': full.ingester },
      ...{ 'full, broker µs': full.broker, 'full, Redis µs': full.redis },
      ...{
        'steady, ingester µs': steady.ingester,
        'steady, broker µs': steady.broker,
        'steady, Redis µs': steady.redis,
      },
      ...{ 'steady, p50 ms': percentile(calmly, 0.5), 'steady, p99 ms': percentile(calmly, 0.99) },
      ...{ 'burst, p50 ms': percentile(pressed, 0.5), 'burst, p99 ms': percentile(pressed, 0.99) },
      'verify, CPU µs': await verify(stack, load.clients),
      'verifications before': unasked,
    };
  } finally {
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}

/** @param {string} dir @param {Arrangement} arrangement */
async function start(dir, { statusTopics, inTopic, settings }) {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  const env = {
    ...{ REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LOG_LEVEL: process.env.LOG_LEVEL ?? 'error' },
    ...{ HANDSHAKE_RESPONSE: 'live', VERIFY_RATE: '100000' },
    ...{ STATUS_TOPICS: statusTopics.join(','), IN_TOPIC: inTopic },
    ...settings,
  };
  return { redis, mosquitto, ingester: await startApp('status-ingester', { dir, env }) };
}

/** @param {Stack} stack @param {Arrangement} arrangement @param {number} number */
function calmClient({ mosquitto }, { statusTopics }, number) {
  const template = /** @type {string} */ (statusTopics[number % statusTopics.length]);
  return CalmClient.connect(mosquitto.url, `calm-${number}`, template.replace('{clientId}', `calm-${number}`));
}

/**
 * Sends a load and waits until its effect is in the registry.
 * @param {Stack} stack @param {import('./topics-load.mjs').TopicsLoad} load
 */
async function send({ redis, mosquitto, ingester }, load) {
  const sample = async () => ({
    committed: await committed(ingester.url),
    at: performance.now(),
    ingester: cpuMicros(ingester.pid),
    broker: cpuMicros(mosquitto.pid),
    redis: cpuMicros(redis.pid),
  });
  const before = await sample();
  const sending = runScript('topics-load.mjs', [mosquitto.url, JSON.stringify(load)]);
  let startedAt = before.at;
  let now = before;
  // Calm clients send as well, so that there may be more.
  while (now.committed - before.committed < load.messages) {
    if (now.at - before.at > GIVE_UP_MS) throw new Error(`stuck: ${JSON.stringify({ before, now, load })}`);
    if (now.committed === before.committed) startedAt = now.at;
    await sleep(100);
    now = await sample();
  }
  await sending;
  const micros = (/** @type {'ingester' | 'broker' | 'redis'} */ key) =>
    (now[key] - before[key]) / (now.committed - before.committed);
  return {
    rate: load.messages / ((now.at - startedAt) / 1000),
    ...{ ingester: micros('ingester'), broker: micros('broker'), redis: micros('redis') },
  };
}

/** @param {Stack} stack @param {number} count @returns CPU of all processes for each verification, in microseconds */
async function verify({ redis, mosquitto, ingester }, count) {
  const cpu = () => cpuMicros(ingester.pid) + cpuMicros(mosquitto.pid) + cpuMicros(redis.pid);
  const [before, done] = [cpu(), await metric(ingester.url, VERIFICATIONS)];
  await requestVerifications(redis.url, count);
  await waitUntil(
    async () => {
      const missing = count - ((await metric(ingester.url, VERIFICATIONS)) - done);
      if (missing > 0) throw new Error(`${missing} are missing`);
    },
    { what: 'verifications', timeoutMs: GIVE_UP_MS },
  );
  return (cpu() - before) / count;
}

/** CPU of the threads of a process: finer than its ticks of 10 ms, which are most of what a broker uses here. @param {number | undefined} pid */
function cpuMicros(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const used = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]));
  return used.reduce((a, b) => a + b) / 1000;
}

/** Messages of clients whose effect is committed. @param {string} url */
async function committed(url) {
  const taken = await metric(url, 'cloud_connector_intake_messages_total');
  return taken - (await metric(url, 'cloud_connector_mailbox_depth'));
}

/** @param {CalmClient[]} calm @param {number} samples most of them @param {AbortSignal} [signal] ends it earlier */
async function latencies(calm, samples, signal) {
  /** @type {Promise<number>[]} */
  const answers = [];
  for (let n = 0; n < samples && signal?.aborted !== true; n++) {
    answers.push(/** @type {CalmClient} */ (calm[n % CALM]).shakeHands());
    await sleep(EVERY_MS);
  }
  return Promise.all(answers);
}

/** @param {Figures[]} turns @param {Figures[] | undefined} ones turns of the arrangement to compare with */
function summarize(turns, ones) {
  /** @type {(keyof Figures)[]} */
  const keys = /** @type {any} */ (Object.keys(turns[0] ?? {}));
  return {
    medians: Object.fromEntries(keys.map((key) => [key, rounded(median(turns.map((figures) => figures[key])))])),
    ofOne: Object.fromEntries(
      keys
        .filter((key) => key !== 'verifications before')
        .map((key) => {
          const ratios = turns.map((figures, i) => figures[key] / (ones?.[i]?.[key] ?? NaN));
          return [key, [median(ratios), Math.min(...ratios), Math.max(...ratios)].map(rounded)];
        }),
    ),
  };
}

/** @param {number[]} ratios */
function spreadText([middle = NaN, least = NaN, most = NaN]) {
  return `${middle} (${least}–${most})`;
}

/** @param {number} value */
function rounded(value) {
  return Number(value.toPrecision(3));
}

/**
 * Rows as columns.
 * @template A
 * @param {Record<string, Record<string, A>>} rows
 */
function turned(rows) {
  const columns = Object.keys(Object.values(rows)[0] ?? {});
  return Object.fromEntries(columns.map((column) => [column, mapValues(rows, (row) => row[column])]));
}

/**
 * @template A, B
 * @param {Record<string, A>} record @param {(value: A) => B} change
 */
function mapValues(record, change) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
