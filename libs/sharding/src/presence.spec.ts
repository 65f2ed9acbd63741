import type { Redis } from '@app/platform';
import { withRedis } from '../../../test/support/redis.js';
import { eventually, quiet } from '../../../test/support/servers.js';
import { Members, listMembersOf } from './members.js';
import { PRESENCE_TTL_MS, Presence } from './presence.js';
import { ShardingKeys } from './sharding-keys.js';

let redis: Redis;

withRedis((connection) => (redis = connection));

it('a process is among the members of its group from its start to its stop', async () => {
  const keys = new ShardingKeys('presence');
  const about = { name: 'a', since: '2026-11-30T06:00:00.000Z' };
  const members = new Members<typeof about>(redis, keys.gateways, 'a/boot', PRESENCE_TTL_MS);
  const presence = new Presence(members, about, quiet);
  presence.start();
  await eventually('it is a member', async () => {
    expect(await listMembersOf(redis, keys.gateways)).toEqual([{ ...about, id: 'a/boot', format: 1 }]);
  });
  await presence.stop();
  expect(await listMembersOf(redis, keys.gateways)).toEqual([]);
});

it('a process stops although Redis does not answer', async () => {
  const refused = (): Promise<never> => Promise.reject(new Error('Redis is away'));
  const presence = new Presence({ heartbeat: refused, leave: refused }, {}, quiet);
  presence.start();
  await presence.stop();
});
