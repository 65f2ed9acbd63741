import type { Redis } from '@app/platform';
import { Messages, RegistryKeys, type WakeUps } from '@app/registry';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { ANYBODY } from '../access/caller.js';
import { MessageSender } from './message-sender.js';

let redis: Redis;

withRedis((connection) => (redis = connection));

it('a wake-up that fails is tried again, and the caller does not wait for it', async () => {
  const keys = new RegistryKeys('sender');
  const messages = new Messages(redis, keys, { shardCount: 1, outboxLimit: 9, shardLimit: 9, retentionMs: 60_000 });
  await redis.hset(keys.connections(0), 'a', '{}');
  await redis.zadd(keys.index(0, 'online', 'host'), 0, 'a');
  const tries: (readonly number[])[] = [];
  const failing: Pick<WakeUps, 'wake'> = {
    wake: (shards) => {
      tries.push(shards);
      return tries.length < 3 ? Promise.reject(new Error('Command timed out')) : Promise.resolve();
    },
  };
  const sender = new MessageSender(redis, messages, failing, { chargeOf: (payer) => ({ payer }) }, quiet);
  const message = {
    clientId: 'a',
    directive: 'test:wake',
    payloadJson: '1',
    ttlMs: 60_000,
    whenOffline: 'hold',
    idempotencyKey: undefined,
    requestId: 'request-1',
  } as const;
  expect(await sender.send([message], ANYBODY)).toMatchObject([{ kind: 'accepted' }]);
  expect(tries).toEqual([[0]]);
  await eventually(() => expect(tries).toEqual([[0], [0], [0]]));
});
