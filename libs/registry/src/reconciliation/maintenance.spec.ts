import { once } from 'node:events';
import { Worker } from 'bullmq';
import { connectRedis, type Redis } from '@app/platform';
import { eventually, quiet, startRedis } from '../../../../test/support/servers.js';
import { MAINTENANCE_QUEUE, Maintenance, maintenanceBackoffMs, type MaintenanceJob } from './maintenance.js';
import { RegistryKeys } from '../keys.js';

const keys = new RegistryKeys('maintenance');

function connect(url: string, name: string): Redis {
  return connectRedis(url, { name, whenAway: 'wait' }, quiet);
}

it('the back-off of a maintenance job doubles from two seconds to a minute', () => {
  expect([1, 2, 3, 5, 6, 1000].map(maintenanceBackoffMs)).toEqual([2000, 4000, 8000, 32_000, 60_000, 60_000]);
});

it('a maintenance job that fails again and again keeps one stack trace', async () => {
  const server = await startRedis();
  const [redis, workerRedis] = [connect(server.url, 'queue'), connect(server.url, 'worker')];
  const maintenance = new Maintenance(redis, keys);
  await maintenance.requestSweep('request', 0);
  let tries = 0;
  const worker = new Worker<MaintenanceJob>(MAINTENANCE_QUEUE, () => Promise.reject(new Error(`try ${++tries}`)), {
    connection: workerRedis,
    prefix: keys.queuePrefix,
    settings: { backoffStrategy: () => 1 },
  });
  await once(worker, 'ready');
  await eventually('the job has failed more than ten times', () => expect(tries).toBeGreaterThan(10));
  await worker.close();
  const [key] = (await redis.keys('*')).filter((one) => /:maintenance:\d+$/.test(one));
  const traces = JSON.parse((await redis.hget(key ?? '', 'stacktrace')) ?? '[]') as string[];
  expect(traces).toHaveLength(1);
  await maintenance.close();
  await Promise.all([redis.quit(), workerRedis.quit()]);
  await server.stop();
});

it('the maintenance queue writes nothing to the console when Redis goes away', async () => {
  const server = await startRedis();
  const redis = connect(server.url, 'queue');
  const maintenance = new Maintenance(redis, keys);
  await maintenance.requestSweep('request', 60_000);
  const written = jest.spyOn(console, 'error').mockImplementation(() => undefined);
  await server.stop();
  redis.emit('error', new Error('Socket timeout'));
  expect(written).not.toHaveBeenCalled();
  written.mockRestore();
  await maintenance.close();
  redis.disconnect();
});
