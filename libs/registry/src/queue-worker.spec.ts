import { Queue, Worker } from 'bullmq';
import { connectRedis, type Redis } from '@app/platform';
import { Proxy } from '../../../test/support/proxy.js';
import { eventually, gate, quiet, startRedis, type Server } from '../../../test/support/servers.js';
import { WORKER_RETRY, closeWorker } from './queue-worker.js';

let server: Server;
let proxy: Proxy;
let redis: Redis;
let queue: Queue;
let worker: Worker;
let runs: number;
/** The job ends when it opens. */
let ended = gate();

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

beforeEach(async () => {
  proxy = await Proxy.before(Number(new URL(server.url).port));
  redis = connectRedis(`redis://127.0.0.1:${proxy.port}`, { name: 'spec', whenAway: 'wait' }, quiet);
  queue = new Queue('work', { connection: { url: server.url } });
  runs = 0;
  ended = gate();
});

afterEach(async () => {
  ended.open();
  await queue.obliterate({ force: true });
  await queue.close();
  redis.disconnect();
  await proxy.stop();
});

async function work(): Promise<void> {
  worker = new Worker(
    'work',
    async () => {
      runs++;
      await ended.passed;
    },
    { connection: redis, ...WORKER_RETRY },
  );
  worker.on('error', () => undefined);
  await worker.waitUntilReady();
}

async function untilDisconnected(): Promise<void> {
  await eventually('the worker waits to reconnect', async () => {
    const client = await worker.backend.blockingClient;
    expect(client?.status).toBe('reconnecting');
  });
}

it('a worker that waits for a job is closed', async () => {
  await work();
  await closeWorker(worker);
  expect(worker.isRunning()).toBe(false);
});

it('a worker that has a job is closed when the job has ended', async () => {
  await work();
  await queue.add('job', {});
  await eventually('the job runs', () => expect(runs).toBe(1));
  const closed = closeWorker(worker);
  ended.open();
  await closed;
  expect(await queue.getJobCounts('active', 'completed')).toEqual({ active: 0, completed: 1 });
});

it('a worker that has lost Redis is closed', async () => {
  await work();
  proxy.cut();
  await untilDisconnected();
  await closeWorker(worker);
});

it('a worker that has lost Redis during a job is closed, and the job is left to another worker', async () => {
  await work();
  await queue.add('job', {});
  await eventually('the job runs', () => expect(runs).toBe(1));
  proxy.cut();
  await untilDisconnected();
  await closeWorker(worker);
  expect(await queue.getJobCounts('active', 'completed')).toEqual({ active: 1, completed: 0 });
});

it('a worker that has never reached Redis is closed', async () => {
  proxy.cut();
  worker = new Worker('work', () => Promise.resolve(), { connection: redis, ...WORKER_RETRY });
  worker.on('error', () => undefined);
  await closeWorker(worker);
});
