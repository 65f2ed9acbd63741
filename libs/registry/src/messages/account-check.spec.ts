import { CLIENT, SHARD, neighbour, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { ACCOUNT_MOVED } from './account-check.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(() => bench.become('online', { account: 'acme' }));

async function last(id: string): Promise<unknown> {
  return (await bench.messages.read(id))?.history.at(-1);
}

const MOVED = { status: 'failed', details: ACCOUNT_MOVED };

describe('a claim for a client that has moved', () => {
  it.each([
    ['to another account', 'other'],
    ['to no account', undefined],
  ])('fails messages of the former account after a move %s', async (_, account) => {
    const [first, second] = [await bench.add(), await bench.add()];
    await bench.become('online', { account });
    expect(await bench.takeOver()).toEqual({ kind: 'empty' });
    expect(await Promise.all([last(first), last(second)])).toMatchObject([MOVED, MOVED]);
    expect(await bench.outbox()).toEqual([]);
    expect(await bench.redis.exists(bench.keys.expiry(SHARD))).toBe(0);
  });

  it('takes messages that were accepted for the new account or for none', async () => {
    await bench.add();
    await bench.become('online');
    const ofNobody = await bench.add();
    await bench.become('online', { account: 'other' });
    const ofOther = await bench.add();
    expect(await bench.takeOver()).toMatchObject({ message: { messageId: ofNobody } });
    const step = await bench.complete({ messageId: ofNobody, attempt: 1, outcome: 'sent' });
    expect(step).toMatchObject({ message: { messageId: ofOther } });
  });

  it('fails a message that a dead dispatcher had in flight, and does not publish it again', async () => {
    const id = await bench.add();
    await bench.takeOver();
    await bench.become('online', { account: 'other' });
    expect(await bench.takeOver()).toEqual({ kind: 'empty' });
    expect(await last(id)).toMatchObject(MOVED);
  });

  it('fails a message in flight while the client is offline', async () => {
    const id = await bench.add();
    await bench.takeOver();
    await bench.become('offline', { account: 'other' });
    await bench.takeOver();
    expect(await last(id)).toMatchObject(MOVED);
    expect(await bench.outbox()).toEqual([]);
  });

  it('keeps messages of a forgotten client until it registers under an account', async () => {
    const id = await bench.add();
    await bench.takeOver();
    await bench.become(undefined);
    expect(await bench.takeOver()).toEqual({ kind: 'offline' });
    expect((await bench.messages.read(id))?.status).toBe('held');
    await bench.become('online', { account: 'other' });
    expect(await bench.takeOver()).toEqual({ kind: 'empty' });
    expect(await last(id)).toMatchObject(MOVED);
  });

  it('takes messages of a client that was forgotten and registered again under the same account', async () => {
    const id = await bench.add();
    await bench.become(undefined);
    await bench.become('online', { account: 'acme' });
    expect(await bench.takeOver()).toMatchObject({ message: { messageId: id } });
  });
});

describe('a claim for a client whose account is being requested', () => {
  beforeEach(() => bench.redis.sadd(bench.keys.accountsAsked(SHARD), CLIENT));

  it('leaves a message of an account in the outbox', async () => {
    const id = await bench.add();
    expect(await bench.takeOver()).toEqual({ kind: 'waiting' });
    expect((await bench.messages.read(id))?.status).toBe('queued');
    // No dispatcher looks at the connection until the account is known.
    expect(await bench.redis.exists(bench.keys.ready(SHARD), bench.keys.claimed(SHARD))).toBe(0);
    await bench.redis.srem(bench.keys.accountsAsked(SHARD), CLIENT);
    expect(await bench.takeOver()).toMatchObject({ message: { messageId: id, attempt: 1 } });
  });

  it('takes messages without an account in order, up to the first one with an account', async () => {
    await bench.become('online');
    const free = await bench.add();
    await bench.become('online', { account: 'acme' });
    const id = await bench.add();
    expect(await bench.takeOver()).toMatchObject({ message: { messageId: free } });
    expect(await bench.complete({ messageId: free, attempt: 1, outcome: 'sent' })).toEqual({ kind: 'waiting' });
    expect(await bench.outbox()).toEqual([id]);
  });

  it('puts back a message that a dead dispatcher had in flight', async () => {
    await bench.redis.srem(bench.keys.accountsAsked(SHARD), CLIENT);
    const id = await bench.add();
    await bench.takeOver();
    await bench.redis.sadd(bench.keys.accountsAsked(SHARD), CLIENT);
    expect(await bench.takeOver()).toEqual({ kind: 'waiting' });
    expect((await bench.messages.read(id))?.status).toBe('queued');
  });

  it('takes messages of other clients of the shard', async () => {
    const other = neighbour('other');
    await bench.become('online', { clientId: other, account: 'acme' });
    await bench.add();
    await bench.add({ clientId: other });
    const step = await bench.step({ room: 10 });
    expect(step.claimed.map(({ clientId }) => clientId)).toEqual([other]);
  });
});

describe('an outbox whose client has moved to another account', () => {
  it('loses all messages of the former account, however many there are', async () => {
    const old: string[] = [];
    for (let i = 0; i < 1203; i++) old.push(await bench.add());
    await bench.become('offline');
    const ofNobody = await bench.add();
    await bench.become('offline', { account: 'other' });
    const ofOther = await bench.add();
    expect(await bench.outboxes.failMoved(SHARD, CLIENT)).toBe(old.length);
    expect(await bench.outbox()).toEqual([ofNobody, ofOther]);
    expect(await last(old[0] ?? '')).toMatchObject(MOVED);
    expect(await last(old.at(-1) ?? '')).toMatchObject(MOVED);
    expect(await bench.outboxes.failMoved(SHARD, CLIENT)).toBe(0);
  });

  it('keeps a message in flight until its publish is completed', async () => {
    const id = await bench.add();
    await bench.takeOver();
    await bench.become('online', { account: 'other' });
    expect(await bench.outboxes.failMoved(SHARD, CLIENT)).toBe(0);
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await last(id)).toMatchObject({ status: 'sent' });
  });

  it('keeps all messages while the account is being requested, and while the client is unknown', async () => {
    const id = await bench.add();
    await bench.become('offline', { account: 'other' });
    await bench.redis.sadd(bench.keys.accountsAsked(SHARD), CLIENT);
    expect(await bench.outboxes.failMoved(SHARD, CLIENT)).toBe(0);
    await bench.redis.srem(bench.keys.accountsAsked(SHARD), CLIENT);
    await bench.become(undefined);
    expect(await bench.outboxes.failMoved(SHARD, CLIENT)).toBe(0);
    expect(await bench.outbox()).toEqual([id]);
  });
});

it('a message-error about a message that was accepted for another account changes nothing', async () => {
  const id = await bench.add();
  await bench.takeOver();
  await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
  await bench.become('online', { account: 'other' });
  expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('foreign');
  expect(await last(id)).toMatchObject({ status: 'sent' });
});
