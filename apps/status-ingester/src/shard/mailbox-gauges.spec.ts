import { connectRedis } from '@app/platform';
import { ShardingKeys } from '@app/sharding';
import { register } from 'prom-client';
import { quiet, startRedis } from '../../../../test/support/servers.js';
import { exposeMailboxes } from './mailbox-gauges.js';

it('the mailbox gauges have no samples while Redis is away, and have them again when it is back', async () => {
  const server = await startRedis();
  const redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
  await redis.ping();
  exposeMailboxes(redis, new ShardingKeys('cc'), { grants: () => [] });
  const samples = async (): Promise<string[]> =>
    (await register.metrics()).split('\n').filter((line) => line.startsWith('cloud_connector_mailbox_'));
  const known = ['cloud_connector_mailbox_depth 0', 'cloud_connector_mailbox_oldest_age_seconds 0'];
  expect(await samples()).toEqual(known);
  redis.disconnect();
  expect(await samples()).toEqual([]);
  await redis.connect();
  expect(await samples()).toEqual(known);
  redis.disconnect();
  await server.stop();
});
