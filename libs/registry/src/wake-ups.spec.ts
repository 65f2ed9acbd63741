import { Worker, type Job } from 'bullmq';
import { connectRedis, type Redis } from '@app/platform';
import { eventually, gate, quiet, startRedis, type Gate, type Server } from '../../../test/support/servers.js';
import { RegistryKeys } from './registry-keys.js';
import { WAKE_UP_QUEUE, WakeUps, type WakeUp } from './wake-ups.js';

let server: Server;
let redis: Redis;
let keys: RegistryKeys;
let wakeUps: WakeUps;
let worker: Worker<WakeUp, void> | undefined;
let runs: string[];
/** A run of this client ends only when its gate opens. */
let gates: Map<string, Gate>;
let keySpaces = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
});

afterAll(async () => {
  await redis.quit();
  await server.stop();
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
      const { client_id: clientId } = job.data;
      runs.push(clientId);
      await gates.get(clientId)?.passed;
    },
    { connection: redis, prefix: keys.queuePrefix, concurrency, drainDelay: 1 },
  );
}

function runsOf(clientId: string): number {
  return runs.filter((one) => one === clientId).length;
}

/** The queue is in order, and one runs at a time: what was kept before this has run when it returns. */
async function passMarker(name: string): Promise<void> {
  await wakeUps.wake([name]);
  await eventually(() => expect(runsOf(name)).toBe(1));
}

describe('wake-ups', () => {
  it('of one connection that wait are one run, however many they are', async () => {
    for (let i = 0; i < 10; i++) await wakeUps.wake(['a']);
    await wakeUps.wake(['a', 'b', 'a']);
    work();
    await passMarker('marker');
    expect(runs).toEqual(['a', 'b', 'marker']);
  });

  it('that come during a run are exactly one more run after it', async () => {
    const first = gate();
    gates.set('a', first);
    work();
    await wakeUps.wake(['a']);
    await eventually(() => expect(runsOf('a')).toBe(1));
    for (let i = 0; i < 5; i++) await wakeUps.wake(['a']);
    gates.delete('a');
    first.open();
    await eventually(() => expect(runsOf('a')).toBe(2));
    await passMarker('marker');
    await passMarker('another marker');
    expect(runsOf('a')).toBe(2);
  });

  it('of one connection never run side by side, while those of others do', async () => {
    const both = [gate(), gate()];
    gates.set('a', both[0] ?? gate());
    gates.set('b', both[1] ?? gate());
    work(4);
    await wakeUps.wake(['a', 'b']);
    await eventually(() => expect(runs.toSorted()).toEqual(['a', 'b']));
    await wakeUps.wake(['a']);
    await passMarker('marker');
    expect(runsOf('a')).toBe(1);
    gates.clear();
    for (const { open } of both) open();
    await eventually(() => expect(runsOf('a')).toBe(2));
  });

  it('run again after an earlier run has ended', async () => {
    work();
    for (let i = 1; i <= 3; i++) {
      await wakeUps.wake(['a']);
      await eventually(() => expect(runsOf('a')).toBe(i));
      await passMarker(`marker ${i}`);
    }
  });

  it('are kept for a client id with any characters', async () => {
    const odd = ['a:b', 'c d', '{e}', 'ü😀', '*', 'a:b:c'];
    await wakeUps.wake(odd);
    await wakeUps.wake(odd);
    work();
    await passMarker('marker');
    expect(runs).toEqual([...odd, 'marker']);
  });

  it('work as soon as Redis answers, also where it was silent when they were first asked for', async () => {
    const impatient = connectRedis(server.url, { name: 'spec', whenAway: 'fail' }, quiet);
    await eventually(() => expect(impatient.status).toBe('ready'));
    await redis.call('CLIENT', 'PAUSE', '1500', 'ALL');
    const made = new WakeUps(impatient, keys);
    await expect(made.wake(['a'])).rejects.toThrow('timed out');
    await eventually(() => made.wake(['a']));
    work();
    await passMarker('marker');
    expect(runs).toEqual(['a', 'marker']);
    await made.close();
    await impatient.quit();
  });

  it('of nobody are none', async () => {
    await wakeUps.wake([]);
    work();
    await passMarker('marker');
    expect(runs).toEqual(['marker']);
  });

  it('leave no job behind, and all their keys on one hash slot', async () => {
    work();
    await wakeUps.wake(['a', 'b', 'c']);
    await passMarker('marker');
    const jobs = `${keys.queuePrefix}:${WAKE_UP_QUEUE}:`;
    await eventually(async () => {
      const found = await redis.keys(`${keys.prefix}*`);
      expect(found.filter((key) => /^\d+$/.test(key.slice(jobs.length)))).toEqual([]);
      expect(found.filter((key) => key.startsWith(`${jobs}de:`))).toEqual([]);
      expect(found.filter((key) => !key.includes('{queue}'))).toEqual([]);
    });
  });
});
