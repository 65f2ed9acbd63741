import { Worker, type Job } from 'bullmq';
import { connectRedis, type Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate, quiet, type Gate, type Server } from '../../../../test/support/servers.js';
import { RegistryKeys } from '../keys.js';
import { WAKE_UP_QUEUE, WakeUps, type WakeUp } from './wake-ups.js';

let server: Server;
let redis: Redis;
let keys: RegistryKeys;
let wakeUps: WakeUps;
let worker: Worker<WakeUp, void> | undefined;
let runs: number[];
/** By shard: a run of the shard ends only when the gate opens. */
let gates: Map<number, Gate>;
let keySpaces = 0;

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(() => {
  keys = new RegistryKeys(`wake${keySpaces++}`);
  wakeUps = new WakeUps(redis, keys);
  runs = [];
  gates = new Map();
});

afterEach(async () => {
  for (const { open } of gates.values()) open();
  await worker?.close();
  worker = undefined;
  await wakeUps.close();
});

function work(concurrency = 1): void {
  worker = new Worker<WakeUp, void>(
    WAKE_UP_QUEUE,
    async (job: Job<WakeUp>) => {
      const { shard } = job.data;
      runs.push(shard);
      await gates.get(shard)?.passed;
    },
    { connection: redis, prefix: keys.queuePrefix, concurrency, drainDelay: 1 },
  );
}

function runsOf(shard: number): number {
  return runs.filter((one) => one === shard).length;
}

async function untilRun(shard: number, count: number): Promise<void> {
  await eventually(`shard ${shard} has run ${count} times`, () => expect(runsOf(shard)).toBe(count));
}

/** Waits until all earlier wake-ups have run: the queue is in order, and one job runs at a time. */
async function passMarker(marker: number): Promise<void> {
  await wakeUps.wake([marker]);
  await untilRun(marker, 1);
}

describe('wake-ups', () => {
  it('of one shard that wait cause one run, however many there are', async () => {
    for (let i = 0; i < 10; i++) await wakeUps.wake([1]);
    await wakeUps.wake([1, 2, 1]);
    work();
    await passMarker(900);
    expect(runs).toEqual([1, 2, 900]);
  });

  it('of one shard that arrive during a run cause exactly one more run after it', async () => {
    const first = gate();
    gates.set(1, first);
    work();
    await wakeUps.wake([1]);
    await untilRun(1, 1);
    for (let i = 0; i < 5; i++) await wakeUps.wake([1]);
    gates.delete(1);
    first.open();
    await untilRun(1, 2);
    await passMarker(900);
    await passMarker(901);
    expect(runsOf(1)).toBe(2);
  });

  it('of one shard never run at the same time, but those of different shards do', async () => {
    const both = [gate(), gate()];
    gates.set(1, both[0] ?? gate());
    gates.set(2, both[1] ?? gate());
    work(4);
    await wakeUps.wake([1, 2]);
    await eventually('both shards run', () => expect(runs.toSorted()).toEqual([1, 2]));
    await wakeUps.wake([1]);
    await passMarker(900);
    expect(runsOf(1)).toBe(1);
    gates.clear();
    for (const { open } of both) open();
    await untilRun(1, 2);
  });

  it('run again after an earlier run has ended', async () => {
    work();
    for (let i = 1; i <= 3; i++) {
      await wakeUps.wake([1]);
      await untilRun(1, i);
      await passMarker(900 + i);
    }
  });

  it('succeed as soon as Redis replies, even if it did not reply to the first request', async () => {
    const impatient = connectRedis(server.url, { name: 'spec', whenAway: 'fail' }, quiet);
    await eventually('the connection to Redis is ready', () => expect(impatient.status).toBe('ready'));
    await redis.call('CLIENT', 'PAUSE', '1500', 'ALL');
    const made = new WakeUps(impatient, keys);
    await expect(made.wake([1])).rejects.toThrow('timed out');
    await eventually('Redis replies to the wake-up', () => made.wake([1]));
    work();
    await passMarker(900);
    expect(runs).toEqual([1, 900]);
    await made.close();
    await impatient.quit();
  });

  it('of no shard cause no run', async () => {
    await wakeUps.wake([]);
    work();
    await passMarker(900);
    expect(runs).toEqual([900]);
  });

  it('leave no job behind, and have all their keys in one hash slot', async () => {
    work();
    await wakeUps.wake([1, 2, 3]);
    await passMarker(900);
    const jobs = `${keys.queuePrefix}:${WAKE_UP_QUEUE}:`;
    await eventually('the queue has no jobs left', async () => {
      const found = await redis.keys(`${keys.prefix}*`);
      expect(found.filter((key) => /^\d+$/.test(key.slice(jobs.length)))).toEqual([]);
      expect(found.filter((key) => key.startsWith(`${jobs}de:`))).toEqual([]);
      expect(found.filter((key) => !key.includes('{queue}'))).toEqual([]);
    });
  });
});
