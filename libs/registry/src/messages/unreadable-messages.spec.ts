import { newMessageId } from '@app/protocol';
import { CLIENT, SHARD, SHARDS, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { DeadLetters, type StoredDeadLetter } from '../events/dead-letters.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(() => bench.become('online'));

async function deadLetters(): Promise<StoredDeadLetter[]> {
  return (await new DeadLetters(bench.redis, bench.keys, SHARDS).list(10)).letters;
}

describe('a step of the outbound side', () => {
  it('dead-letters an id without a record and claims the next message', async () => {
    const unreadable = newMessageId(SHARD);
    await bench.redis.rpush(bench.keys.outbox(SHARD, CLIENT), unreadable);
    await bench.redis.zadd(bench.keys.expiry(SHARD), 5, unreadable);
    const id = await bench.add();
    expect((await bench.claim()).messageId).toBe(id);
    expect(await bench.outbox()).toEqual([id]);
    expect(await bench.redis.zrange(bench.keys.expiry(SHARD), '0', '-1')).toEqual([id]);
    expect(await bench.redis.exists(bench.keys.message(SHARD, unreadable))).toBe(0);
    expect(await deadLetters()).toMatchObject([{ client_id: CLIENT, reason: 'unreadable-record' }]);
  });

  it.each([
    ['no status', ['status']],
    ['no time to live', ['expires_at']],
    ['no time of acceptance', ['created_at']],
    ['no payload', ['payload']],
    ['no directive', ['directive']],
    ['no history and no time to live', ['history', 'keep', 'expires_at']],
    ['no client', ['client_id']],
  ])('dead-letters a record with %s and claims the next message', async (_, fields) => {
    const [unreadable, id] = [await bench.add(), await bench.add()];
    await bench.redis.hdel(bench.keys.message(SHARD, unreadable), ...fields);
    expect((await bench.claim()).messageId).toBe(id);
    expect(await bench.outbox()).toEqual([id]);
    expect(await bench.redis.zrange(bench.keys.expiry(SHARD), '0', '-1')).toEqual([id]);
    const [letter, ...more] = await deadLetters();
    expect([letter?.reason, more]).toEqual(['unreadable-record', []]);
    expect(letter?.details).toContain(unreadable);
    if (fields.includes('client_id')) return;
    expect((await bench.messages.read(unreadable))?.history.at(-1)).toMatchObject({ status: 'failed' });
    expect((await bench.eventsOf(unreadable)).at(-1)).toBe('failed');
    expect(await bench.redis.zscore(bench.keys.finished(SHARD), unreadable)).not.toBeNull();
  });

  it.each([
    ['status', 'lost'],
    ['expires_at', 'soon'],
    ['created_at', ''],
    ['client_id', 'another'],
  ])('dead-letters a record whose %s is %j and claims the next message', async (field, value) => {
    const [unreadable, id] = [await bench.add(), await bench.add()];
    await bench.redis.hset(bench.keys.message(SHARD, unreadable), field, value);
    expect((await bench.claim()).messageId).toBe(id);
    expect(await deadLetters()).toHaveLength(1);
  });

  it('publishes a record with invalid attempts, retention and history', async () => {
    const id = await bench.add();
    await bench.redis.hset(bench.keys.message(SHARD, id), 'attempts', 'many', 'keep', 'long', 'history', '');
    const { attempt } = await bench.claim();
    expect(attempt).toBe(1);
    await bench.complete({ messageId: id, attempt, outcome: 'sent' });
    expect(await bench.statuses(id)).toEqual(['in_flight', 'sent']);
  });

  it.each(['message', 'outbox'])('dead-letters a key of the wrong type in place of the %s', async (which) => {
    const id = await bench.add();
    const key = which === 'message' ? bench.keys.message(SHARD, id) : bench.keys.outbox(SHARD, CLIENT);
    await bench.redis.set(key, 'text');
    expect(await bench.takeOver()).toEqual({ kind: 'empty' });
    expect(await deadLetters()).toHaveLength(1);
  });
});
