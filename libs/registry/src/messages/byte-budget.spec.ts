import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { changeStoredMessage, storeFormerMessage, storedMessage } from '../../../../test/support/stored-message.js';
import { MESSAGE_BYTES, bytesOfPayers, chargeStoredMessages, payerOf, recountBytes } from './byte-budget.js';
import { Messages, type Charge, type MessageLimits, type NewMessage } from './messages.js';
import { RegistryKeys } from '../keys.js';

const SHARDS = 2;
const SHARD = 0;
const [A = '', B = '', C = ''] = Array.from({ length: 20 }, (_, i) => `host-${i}`).filter(
  (id) => shardOf(id, SHARDS) === SHARD,
);
const GRANT: Grant = { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' };
const ROOMY: MessageLimits = { shardCount: SHARDS, outboxLimit: 1000, shardLimit: 1000, retentionMs: 60_000 };
const KEY: Charge = { payer: 'key:1' };
/** A message with this payload is charged 1,500 bytes. */
const PAYLOAD = 'x'.repeat(1500 - MESSAGE_BYTES - 1);

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`bytes${keySpaces++}`);
  await redis.set(keys.owner(GRANT), GRANT.fence);
  for (const id of [A, B, C]) {
    await redis.hset(keys.connections(SHARD), id, '{}');
    await redis.zadd(keys.offline(SHARD, 'host', 'goodbye'), 0, id);
  }
});

function message(clientId: string, more: Partial<NewMessage> = {}): NewMessage {
  const fixed = { clientId, directive: 'd', payloadJson: PAYLOAD, ttlMs: 60_000, requestId: 'r' };
  return { ...fixed, whenOffline: 'hold', idempotencyKey: undefined, ...more };
}

/** Accepts messages with one call. @returns the kinds of the outcomes */
async function send(limits: Partial<MessageLimits>, charge: Charge, ...wanted: NewMessage[]): Promise<string[]> {
  const messages = new Messages(redis, keys, { ...ROOMY, ...limits });
  const minted = wanted.map((one) => ({ ...one, messageId: messages.mint(one.clientId) }));
  return (await messages.accept(SHARD, minted, undefined, charge)).outcomes.map(({ kind }) => kind);
}

describe('the bytes of unfinished messages', () => {
  it('are limited for each connection, also within one call', async () => {
    const limits = { outboxBytes: 3000 };
    expect(await send(limits, KEY, message(A), message(A), message(A), message(B))).toEqual([
      ...['accepted', 'accepted', 'full', 'accepted'],
    ]);
    expect(await send(limits, KEY, message(A))).toEqual(['full']);
  });

  it('are limited for each shard, and for each payer to half of that', async () => {
    const limits = { shardBytes: 6000 };
    expect(await send(limits, KEY, message(A), message(B), message(C))).toEqual([
      ...['accepted', 'accepted', 'account-full'],
    ]);
    const another = { payer: payerOf({ id: 'token:x', account: 'acme' }) };
    expect(await send(limits, another, message(A), message(B))).toEqual(['accepted', 'accepted']);
    expect(await send(limits, { payer: 'key:3' }, message(C))).toEqual(['shard-full']);
  });

  it('may exceed an unused budget by one message', async () => {
    const limits = { outboxBytes: 100, shardBytes: 100 };
    expect(await send(limits, KEY, message(A), message(A))).toEqual(['accepted', 'full']);
  });

  it('are added up by payer over all shards', async () => {
    await send({}, KEY, message(A), message(B));
    await redis.hset(keys.outboxBytes(1), 'key:1', 7, 'key:2', 9);
    const { sums, failure } = await bytesOfPayers(redis, keys, SHARDS, ['key:1', 'key:2', 'key:3']);
    expect([sums, failure]).toEqual([[3007, 9, 0], undefined]);
  });

  it('are not charged for replayed and refused messages', async () => {
    const once = message(A, { idempotencyKey: 'k' });
    await send({}, KEY, once);
    const before = await redis.hgetall(keys.outboxBytes(SHARD));
    await send({}, KEY, once, message('nobody'), message(A, { whenOffline: 'reject' }));
    expect(await redis.hgetall(keys.outboxBytes(SHARD))).toEqual(before);
  });

  it('of a lost record stay counted until the next recount', async () => {
    await send({}, KEY, message(A), message(B));
    const [lost = ''] = await redis.lrange(keys.outbox(SHARD, A), 0, -1);
    await redis.del(keys.message(SHARD, lost));
    await expect(recountBytes(redis, keys, { ...GRANT, fence: 'stale' })).rejects.toThrow(StaleOwnerError);
    expect(await recountBytes(redis, keys, GRANT)).toBe(true);
    const counted = { '': '1500', 'key:1': '1500', [`client:${B}`]: '1500' };
    expect(await redis.hgetall(keys.outboxBytes(SHARD))).toEqual(counted);
  });

  it('of messages that 0.1.0 accepted are charged once, to their account if they have one', async () => {
    await redis.hset(keys.accounts(SHARD), A, 'acme');
    await send({}, KEY, message(A), message(B));
    for (const client of [A, B]) {
      const [id = ''] = await redis.lrange(keys.outbox(SHARD, client), 0, -1);
      await storeFormerMessage(redis, keys.message(SHARD, id));
    }
    await redis.del(keys.outboxBytes(SHARD));
    for (let i = 0; i < 2; i++) await chargeStoredMessages(redis, keys, GRANT);
    const payers = { 'account:acme': '1500', unknown: '1500' };
    const clients = { [`client:${A}`]: '1500', [`client:${B}`]: '1500' };
    expect(await redis.hgetall(keys.outboxBytes(SHARD))).toEqual({ '': '3000', ...payers, ...clients });
  });

  it('of messages that 0.1.0 accepted and that have changed since are charged once', async () => {
    await send({}, KEY, message(A));
    const [id = ''] = await redis.lrange(keys.outbox(SHARD, A), 0, -1);
    await changeStoredMessage(redis, keys.message(SHARD, id), { payer: '', bytes: '0' });
    await redis.del(keys.outboxBytes(SHARD));
    for (let i = 0; i < 2; i++) await chargeStoredMessages(redis, keys, GRANT);
    expect(await redis.hgetall(keys.outboxBytes(SHARD))).toEqual({
      '': '1500',
      unknown: '1500',
      [`client:${A}`]: '1500',
    });
    expect(await storedMessage(redis, keys.message(SHARD, id))).toMatchObject({ payer: 'unknown', bytes: '1500' });
  });
});

describe('a caller whose messages may not be stored', () => {
  it.each(['account-full', 'storage-full'] as const)(
    'gets %s for new messages, and the former outcome for earlier ones',
    async (why) => {
      const once = message(A, { idempotencyKey: 'k' });
      await send({}, KEY, once);
      expect(await send({}, { ...KEY, refuse: why }, once, message(A), message('nobody'))).toEqual([
        ...['accepted', why, 'building'],
      ]);
    },
  );
});
