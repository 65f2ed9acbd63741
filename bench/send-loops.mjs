/**
 * How the send benchmark loads a way: an open loop sends at an even rate, whatever becomes of the requests before; a closed
 * loop keeps a number of requests under way.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { message } from './devices.mjs';
import { cpuSeconds, percentile } from './measure.mjs';

/**
 * What a message is sent through, and the processes that work for it.
 * @typedef {{ pool: import('undici').Pool, pathOf: (id: string) => string, count: number,
 *   devices: import('./devices.mjs').Devices, parts: Parts }} Way
 * @typedef {Record<string, { pid?: number | undefined }[]>} Parts
 */

/** Messages that were accepted and have not arrived after this are lost. */
const LOST_MS = 60_000;

/** @param {Way} way @param {{ perSecond: number, seconds: number }} load */
export function openLoop(way, { perSecond, seconds }) {
  return measured(way, async (send) => {
    const from = performance.now();
    const all = [];
    for (let i = 0; i < perSecond * seconds; i++) {
      const waitMs = from + (i * 1000) / perSecond - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      all.push(send());
    }
    await Promise.all(all);
  });
}

/** @param {Way} way @param {{ atOnce: number, seconds: number }} load */
export function closedLoop(way, { atOnce, seconds }) {
  return measured(way, async (send) => {
    const until = performance.now() + seconds * 1000;
    const worker = async () => {
      while (performance.now() < until) await send();
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  });
}

/**
 * Latencies in ms from the POST to the device, what arrived until the load ended of what was accepted until then, and the
 * CPU of each part in µs a message.
 * @param {Way} way @param {(send: () => Promise<void>) => Promise<void>} run
 */
async function measured(way, run) {
  let sent = 0;
  let refused = 0;
  /** @type {Promise<number>[]} */
  const arrivals = [];
  let arrived = 0;
  async function send() {
    const { n, arrival } = way.devices.next();
    const from = performance.now();
    const { statusCode, body } = await way.pool.request({
      method: 'POST',
      path: way.pathOf(`bench-${sent++ % way.count}`),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(message(n)),
    });
    await body.dump();
    if (statusCode >= 300) {
      refused++;
      way.devices.forget(n);
      return;
    }
    arrivals.push(
      arrival.then((at) => {
        arrived++;
        return at - from;
      }),
    );
  }
  const before = cpuOf(way.parts);
  await run(send);
  const [accepted, inTime] = [arrivals.length, arrived];
  const times = await within(LOST_MS, Promise.all(arrivals));
  const cpu = cpuSince(before, way.parts, accepted);
  return {
    accepted,
    refused,
    deliveredShare: inTime / accepted,
    p50: percentile(times, 0.5),
    p95: percentile(times, 0.95),
    p99: percentile(times, 0.99),
    cpu,
    cpuSum: Object.values(cpu).reduce((sum, value) => sum + value, 0),
  };
}

/** CPU seconds by part. @param {Parts} parts */
export function cpuOf(parts) {
  return Object.fromEntries(
    Object.entries(parts).map(([name, some]) => [name, some.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0)]),
  );
}

/** CPU that each part has used since, in µs a message. */
export function cpuSince(
  /** @type {Record<string, number>} */ before,
  /** @type {Parts} */ parts,
  /** @type {number} */ messages,
) {
  return Object.fromEntries(
    Object.entries(cpuOf(parts)).map(([name, seconds]) => [name, ((seconds - (before[name] ?? 0)) / messages) * 1e6]),
  );
}

/** @template T @param {number} ms @param {Promise<T>} promise */
async function within(ms, promise) {
  const stop = new AbortController();
  const late = sleep(ms, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`accepted messages have not arrived within ${ms / 1000} s`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}
