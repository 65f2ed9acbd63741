import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import { Draining } from '../../../../test/support/draining.js';
import { acceptOne } from '../../../../test/support/messages.js';
import { withRedis } from '../../../../test/support/redis.js';
import { ACCOUNT_MOVED } from './account-check.js';
import { Messages } from './messages.js';
import { Outboxes } from './outbox.js';
import { RegistryKeys } from '../keys.js';

const SHARDS = 2;
const CLIENT = 'host-1';
const SHARD = shardOf(CLIENT, SHARDS);

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let outboxes: Outboxes;
let draining: Draining;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`account-check${keySpaces++}`);
  messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 5000,
    shardLimit: 5000,
    retentionMs: 3_600_000,
  });
  outboxes = new Outboxes(redis, keys, SHARDS);
  draining = new Draining(redis, keys, outboxes, CLIENT, SHARDS);
  await become('online', 'acme');
});

/** As the commits do; `undefined`: the client is forgotten. */
async function become(state: 'online' | 'offline' | undefined, account?: string): Promise<void> {
  const changes = redis.multi();
  for (const one of ['online', 'offline'] as const) changes.zrem(keys.index(SHARD, one, 'host'), CLIENT);
  if (state !== undefined) changes.zadd(keys.index(SHARD, state, 'host'), 0, CLIENT);
  if (state === undefined) changes.hdel(keys.connections(SHARD), CLIENT);
  else changes.hset(keys.connections(SHARD), CLIENT, '{}');
  if (account === undefined) changes.hdel(keys.accounts(SHARD), CLIENT);
  else changes.hset(keys.accounts(SHARD), CLIENT, account);
  await changes.exec();
}

async function accept(): Promise<string> {
  const id = messages.mint(CLIENT);
  const outcome = await acceptOne(messages, id, {
    ...{ clientId: CLIENT, directive: 'd', payloadJson: undefined, ttlMs: 600_000, whenOffline: 'hold' },
    ...{ idempotencyKey: undefined, requestId: 'r' },
  });
  expect(outcome.kind).toBe('accepted');
  return id;
}

async function last(id: string): Promise<unknown> {
  return (await messages.read(id))?.history.at(-1);
}

async function waiting(): Promise<string[]> {
  return redis.lrange(keys.outbox(SHARD, CLIENT), 0, -1);
}

const MOVED = { status: 'failed', details: ACCOUNT_MOVED };

describe('a claim', () => {
  it.each([
    ['to another account', 'other'],
    ['to none', undefined],
  ])('fails what was accepted for an account from which the client has moved %s', async (_, account) => {
    const [first, second] = [await accept(), await accept()];
    await become('online', account);
    expect(await draining.claim()).toEqual({ kind: 'empty' });
    expect(await Promise.all([last(first), last(second)])).toMatchObject([MOVED, MOVED]);
    expect(await waiting()).toEqual([]);
    expect(await redis.exists(keys.expiry(SHARD))).toBe(0);
  });

  it('goes on with what was accepted for the new account, and with what was accepted for none', async () => {
    await accept();
    await become('online', undefined);
    const ofNobody = await accept();
    await become('online', 'other');
    const ofOther = await accept();
    expect(await draining.claim()).toMatchObject({ message: { messageId: ofNobody } });
    const step = await draining.settle({ messageId: ofNobody, attempt: 1, outcome: 'sent' });
    expect(step).toMatchObject({ message: { messageId: ofOther } });
  });

  it('fails what a dead dispatcher had in flight when the client moved, and does not publish it again', async () => {
    const id = await accept();
    await draining.claim();
    await become('online', 'other');
    expect(await draining.claim()).toEqual({ kind: 'empty' });
    expect(await last(id)).toMatchObject(MOVED);
  });

  it('fails it also while the client is offline', async () => {
    const id = await accept();
    await draining.claim();
    await become('offline', 'other');
    await draining.claim();
    expect(await last(id)).toMatchObject(MOVED);
    expect(await waiting()).toEqual([]);
  });

  it('keeps what waits for a client that is forgotten, until it is registered under an account', async () => {
    const id = await accept();
    await draining.claim();
    await become(undefined);
    expect(await draining.claim()).toEqual({ kind: 'offline' });
    expect((await messages.read(id))?.status).toBe('held');
    await become('online', 'other');
    expect(await draining.claim()).toEqual({ kind: 'empty' });
    expect(await last(id)).toMatchObject(MOVED);
  });

  it('publishes to a client that was forgotten and registered again under the same account', async () => {
    const id = await accept();
    await become(undefined);
    await become('online', 'acme');
    expect(await draining.claim()).toMatchObject({ message: { messageId: id } });
  });
});

describe('while the account of a client is being asked for, a claim', () => {
  beforeEach(() => redis.sadd(keys.accountsAsked(SHARD), CLIENT));

  it('takes nothing that carries an account, and keeps it', async () => {
    const id = await accept();
    expect(await draining.claim()).toEqual({ kind: 'waiting' });
    expect((await messages.read(id))?.status).toBe('queued');
    // It is not asked for again and again: the answer brings it back.
    expect(await redis.exists(keys.woken(SHARD), keys.draining(SHARD), keys.todo(SHARD))).toBe(0);
    await redis.srem(keys.accountsAsked(SHARD), CLIENT);
    expect(await draining.claim()).toMatchObject({ message: { messageId: id, attempt: 1 } });
  });

  it('takes what carries none, in order, and stops before the first that does', async () => {
    await become('online', undefined);
    const free = await accept();
    await become('online', 'acme');
    const id = await accept();
    expect(await draining.claim()).toMatchObject({ message: { messageId: free } });
    expect(await draining.settle({ messageId: free, attempt: 1, outcome: 'sent' })).toEqual({ kind: 'waiting' });
    expect(await waiting()).toEqual([id]);
  });

  it('puts back what a dead dispatcher had in flight', async () => {
    await redis.srem(keys.accountsAsked(SHARD), CLIENT);
    const id = await accept();
    await draining.claim();
    await redis.sadd(keys.accountsAsked(SHARD), CLIENT);
    expect(await draining.claim()).toEqual({ kind: 'waiting' });
    expect((await messages.read(id))?.status).toBe('queued');
  });

  it('goes on with other clients of the shard', async () => {
    const other = Array.from({ length: 100 }, (_, i) => `other-${i}`).find((id) => shardOf(id, SHARDS) === SHARD) ?? '';
    await redis.zadd(keys.index(SHARD, 'online', 'host'), 0, other);
    await redis.hset(keys.accounts(SHARD), other, 'acme');
    await accept();
    await acceptOne(messages, messages.mint(other), {
      ...{ clientId: other, directive: 'd', payloadJson: undefined, ttlMs: 600_000, whenOffline: 'hold' },
      ...{ idempotencyKey: undefined, requestId: 'r' },
    });
    const step = await outboxes.step(SHARD, { run: undefined, underWay: 0, room: 10, settlements: [] });
    expect(step.claimed.map(({ clientId }) => clientId)).toEqual([other]);
  });
});

describe('an outbox whose client has moved to another account', () => {
  it('is emptied of what the old one waits for, however long it is', async () => {
    const old: string[] = [];
    for (let i = 0; i < 1203; i++) old.push(await accept());
    await become('offline', undefined);
    const ofNobody = await accept();
    await become('offline', 'other');
    const ofOther = await accept();
    expect(await outboxes.failMoved(SHARD, CLIENT)).toBe(old.length);
    expect(await waiting()).toEqual([ofNobody, ofOther]);
    expect(await last(old[0] ?? '')).toMatchObject(MOVED);
    expect(await last(old.at(-1) ?? '')).toMatchObject(MOVED);
    expect(await outboxes.failMoved(SHARD, CLIENT)).toBe(0);
  });

  it('keeps what is in flight to the completion of its publish', async () => {
    const id = await accept();
    await draining.claim();
    await become('online', 'other');
    expect(await outboxes.failMoved(SHARD, CLIENT)).toBe(0);
    await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await last(id)).toMatchObject({ status: 'sent' });
  });

  it('keeps everything while the account is being asked for, and while the client is not known', async () => {
    const id = await accept();
    await become('offline', 'other');
    await redis.sadd(keys.accountsAsked(SHARD), CLIENT);
    expect(await outboxes.failMoved(SHARD, CLIENT)).toBe(0);
    await redis.srem(keys.accountsAsked(SHARD), CLIENT);
    await become(undefined);
    expect(await outboxes.failMoved(SHARD, CLIENT)).toBe(0);
    expect(await waiting()).toEqual([id]);
  });
});

it('a message-error about a message that was accepted for another account changes nothing', async () => {
  const id = await accept();
  await draining.claim();
  await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' });
  await become('online', 'other');
  expect(await outboxes.failByClient(CLIENT, id, 'x')).toBe('foreign');
  expect(await last(id)).toMatchObject({ status: 'sent' });
});
