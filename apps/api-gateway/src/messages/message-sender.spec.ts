import { closeRedis, connectRedis, createLogger, type Redis } from '@app/platform';
import { Messages, RegistryKeys, type WakeUps } from '@app/registry';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, freePort, quiet } from '../../../../test/support/servers.js';
import { ANONYMOUS } from '../access/caller.js';
import { MessageSender } from './message-sender.js';

let redis: Redis;

withRedis((connection) => (redis = connection));

it('MessageSender repeats a wake-up that fails, and the caller does not wait for it', async () => {
  const keys = new RegistryKeys('sender');
  const messages = new Messages(redis, keys, { shardCount: 1, outboxLimit: 9, shardLimit: 9, retentionMs: 60_000 });
  await redis.hset(keys.connections(0), 'a', '{}');
  await redis.zadd(keys.online(0, 'host'), 0, 'a');
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
  expect(await sender.send([message], ANONYMOUS)).toMatchObject({ outcomes: [{ kind: 'accepted' }], inFlight: 0 });
  expect(tries).toEqual([[0]]);
  await eventually('the wake-up has been tried three times', () => expect(tries).toEqual([[0], [0], [0]]));
});

it('MessageSender logs one line that names all messages of a request whose outcome is unknown', async () => {
  const away = connectRedis(`redis://127.0.0.1:${await freePort()}`, { name: 'spec-away', whenAway: 'fail' }, quiet);
  const lines: string[] = [];
  const logger = createLogger('spec', 'warn', { write: (line) => lines.push(line) });
  const keys = new RegistryKeys('sender-away');
  const messages = new Messages(away, keys, { shardCount: 8, outboxLimit: 9, shardLimit: 9, retentionMs: 60_000 });
  const wakeUps = { wake: () => Promise.resolve() };
  const sender = new MessageSender(away, messages, wakeUps, { chargeOf: (payer) => ({ payer }) }, logger);
  // Node warns of more than ten listeners of one event, however many requests wait.
  let most = 0;
  away.on('newListener', () => (most = Math.max(most, away.listenerCount('ready'))));
  const batch = Array.from({ length: 100 }, (_, i) => ({
    clientId: `client-${i}`,
    directive: 'test:away',
    payloadJson: '1',
    ttlMs: 60_000,
    whenOffline: 'hold' as const,
    idempotencyKey: undefined,
    requestId: 'request-1',
  }));
  for (const outcome of (await sender.send(batch, ANONYMOUS)).outcomes)
    expect(outcome).toEqual({ kind: 'unreachable' });
  expect(lines).toHaveLength(1);
  const line = JSON.parse(lines[0] ?? '') as { message_ids: string[]; shards: number[] };
  expect(line).toMatchObject({ message: 'outcome unknown', request_id: 'request-1' });
  expect(new Set(line.message_ids).size).toBe(100);
  expect(new Set(line.shards).size).toBe(8);
  expect(most).toBeLessThan(8);

  const [one = batch[0]] = batch;
  await sender.send(one === undefined ? [] : [one], ANONYMOUS);
  expect(JSON.parse(lines[1] ?? '')).toMatchObject({
    client_id: 'client-0',
    message_id: expect.any(String) as unknown,
  });
  await closeRedis(away);
});
