/** What the rates of the send benchmark are compared with: bare BullMQ, a bare ordered loop, and Redis alone. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { inParallel, message } from './devices.mjs';
import { ask, cpuSeconds, forkScript } from './measure.mjs';

export const BATCH = 1000;
const DONE = { removeOnComplete: true };

/** Adds jobs with `add`, and processes them in another process. @returns jobs a second */
export function bullmqSingle(/** @type {string} */ redisUrl, /** @type {number} */ jobs, /** @type {number} */ atOnce) {
  return bullmqRate(redisUrl, jobs, (queue) => inParallel(jobs, atOnce, (n) => queue.add('job', { n }, DONE)));
}

/** Adds jobs with `addBulk`. @returns jobs a second */
export function bullmqBatches(
  /** @type {string} */ redisUrl,
  /** @type {number} */ jobs,
  /** @type {number} */ atOnce,
) {
  return bullmqRate(redisUrl, jobs, (queue) =>
    inParallel(jobs / BATCH, atOnce, (i) =>
      queue.addBulk(Array.from({ length: BATCH }, (_, n) => ({ name: 'job', data: { n: i * BATCH + n }, opts: DONE }))),
    ),
  );
}

/**
 * Publishes to one device at QoS 1, each message after the PUBACK of the one before.
 * @param {string} mqttUrl @param {import('./devices.mjs').Devices} devices @param {number} messages
 * @returns messages a second
 */
export async function orderedLoop(mqttUrl, devices, messages) {
  const loop = forkScript('ordered-loop.mjs', [mqttUrl]);
  await once(loop, 'message');
  const some = Array.from({ length: messages }, () => devices.next());
  const from = performance.now();
  loop.send(some.map(({ n }) => message(n)));
  const at = await Promise.all(some.map(({ arrival }) => arrival));
  loop.send('stop');
  await once(loop, 'exit');
  return (messages * 1000) / (Math.max(...at) - from);
}

/**
 * One XADD and one read a message: what no use of a Redis stream can be better than.
 * @param {{ url: string, pid: number | undefined }} redis @param {number} messages @param {number} atOnce
 */
export async function redisAlone(redis, messages, atOnce) {
  const reader = forkScript('stream-reader.mjs', [redis.url]);
  await once(reader, 'message');
  const connection = new Redis(redis.url);
  const before = cpuSeconds(redis.pid);
  const perSecond = await rate(messages, async () => {
    await inParallel(messages, atOnce, (n) =>
      connection.xadd('bench-floor', '*', 'message', JSON.stringify(message(n))),
    );
    while ((await ask(reader, 'read')).read < messages) await sleep(5);
  });
  const used = cpuSeconds(redis.pid) - before;
  reader.kill('SIGTERM');
  await connection.del('bench-floor');
  connection.disconnect();
  return { perSecond, redisUs: (used / messages) * 1e6 };
}

/** @param {number} count @param {() => Promise<unknown>} act */
export async function rate(count, act) {
  const from = performance.now();
  await act();
  return count / ((performance.now() - from) / 1000);
}

async function bullmqRate(
  /** @type {string} */ redisUrl,
  /** @type {number} */ jobs,
  /** @type {(queue: Queue) => Promise<unknown>} */ add,
) {
  const worker = forkScript('bare-worker.mjs', [redisUrl]);
  await once(worker, 'message');
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue('bare', { connection });
  const perSecond = await rate(jobs, async () => {
    await add(queue);
    while ((await ask(worker, 'done')).done < jobs) await sleep(5);
  });
  worker.kill('SIGTERM');
  await queue.close();
  connection.disconnect();
  return perSecond;
}
