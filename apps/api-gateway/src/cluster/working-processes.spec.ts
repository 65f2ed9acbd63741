import { once } from 'node:events';
import { connectRedis } from '@app/platform';
import { MemberIdentity, Members, ShardingKeys, type Announcement, type DispatcherAnnouncement } from '@app/sharding';
import { register } from 'prom-client';
import { quiet, startRedis } from '../../../../test/support/servers.js';
import { countWorking, exposeWorkingProcesses } from './working-processes.js';

const since = '2026-11-30T06:00:00.000Z';
const ingester: Announcement = {
  ...{ name: 'i', since, format: 4, wants_lanes: 1, knows_lanes: 1, draining: false, fitness: 'fit' },
  ...{ shards: [], lanes: [] },
};
const TTL_MS = 600_000;

async function samples(): Promise<string[]> {
  const lines = (await register.metrics()).split('\n');
  return lines.filter((line) => line.startsWith('cloud_connector_processes_working')).sort();
}

it('counts the processes of each role at each scrape, and has no samples while Redis is away', async () => {
  const server = await startRedis();
  const redis = connectRedis(server.url, { name: 'spec', whenAway: 'fail' }, quiet);
  await once(redis, 'ready');
  const keys = new ShardingKeys('working');
  exposeWorkingProcesses(redis, keys, quiet);
  const counted = (dispatchers: number, ingesters: number): string[] => [
    `cloud_connector_processes_working{role="dispatcher"} ${dispatchers}`,
    'cloud_connector_processes_working{role="gateway"} 0',
    `cloud_connector_processes_working{role="ingester"} ${ingesters}`,
  ];
  expect(await samples()).toEqual(counted(0, 0));
  const members = new Members<Announcement>(redis, keys.cluster, new MemberIdentity().id, TTL_MS);
  await members.heartbeat(ingester);
  const dispatchers = new Members<DispatcherAnnouncement>(redis, keys.dispatchers, new MemberIdentity().id, TTL_MS);
  await dispatchers.heartbeat({ name: 'd', takes_shards: true });
  expect(await samples()).toEqual(counted(1, 1));
  const ended = once(redis, 'end');
  redis.disconnect();
  await ended;
  expect(await samples()).toEqual([]);
  await redis.connect();
  await members.leave();
  expect(await samples()).toEqual(counted(1, 0));
  redis.disconnect();
  await server.stop();
});

it('does not count a process that stops, or misses the broker or Redis', () => {
  const working = countWorking({
    members: [
      { ...ingester, id: 'i/1' },
      { ...ingester, id: 'i/2', draining: true },
      { ...ingester, id: 'i/3', fitness: 'troubled' },
      { ...ingester, id: 'i/4', fitness: 'unfit' },
    ],
    dispatchers: [
      { id: 'd/1', name: 'd', takes_shards: true },
      { id: 'd/2', name: 'd', takes_shards: false },
    ],
    gateways: [{ id: 'g/1', name: 'g', since }],
  });
  expect(working).toEqual({ ingester: 1, dispatcher: 1, gateway: 1 });
});
