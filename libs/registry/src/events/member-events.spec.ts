import type { Redis } from '@app/platform';
import { Members } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { RegistryKeys } from '../keys.js';
import { memberEvents } from './member-events.js';

let redis: Redis;

withRedis((connection) => (redis = connection));

async function stored(keys: RegistryKeys): Promise<unknown[]> {
  const entries = await redis.xrange(keys.events(0), '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as unknown);
}

it('members that stop and members that are overdue have their events', async () => {
  const keys = new RegistryKeys('member-events');
  const listener = memberEvents(redis, keys, 'gateway', quiet);
  await listener([{ member: 'a/1', change: 'joined' }]);
  await listener([
    { member: 'b/1', change: 'left', reason: 'overdue' },
    { member: 'a/1', change: 'left', reason: 'stopped' },
  ]);
  expect(await stored(keys)).toEqual([
    { type: 'member.joined', member: 'a/1', role: 'gateway' },
    { type: 'member.left', member: 'b/1', role: 'gateway', reason: 'overdue' },
    { type: 'member.left', member: 'a/1', role: 'gateway', reason: 'stopped' },
  ]);
});

it('a member stays one although its event cannot be stored', async () => {
  const keys = new RegistryKeys('member-events-lost');
  await redis.set(keys.events(0), 'not a stream');
  const members = new Members<{ name: string }>(
    redis,
    keys.gateways,
    'a/1',
    60_000,
    memberEvents(redis, keys, 'gateway', quiet),
  );
  await members.heartbeat({ name: 'a' });
  await members.leave();
  expect(await redis.zcard(keys.gateways.alive)).toBe(0);
});
