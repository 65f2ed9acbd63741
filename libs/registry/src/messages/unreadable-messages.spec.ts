import { newMessageId } from '@app/protocol';
import { CLIENT, SHARD, SHARDS, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { storeFormerMessage } from '../../../../test/support/stored-message.js';
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
    ['is no record', () => 'text'],
    ['has a later form', (text: string) => text.replace(/^1/, '2')],
    ['has an unknown status', (text: string) => text.replace('queued', 'lost')],
    ['has no number where one belongs', (text: string) => text.replace(/ \d+ \d+ \d+ \d+ 0\n/, ' soon 1 1 1 0\n')],
    ['was cut off', (text: string) => text.slice(0, text.indexOf('rhc:work'))],
    ['names another client', (text: string) => text.replace(CLIENT, 'another')],
    ['has its payload elsewhere, where it is not', (text: string) => text.replace(' 0\n', ' 1\n')],
  ])('dead-letters a record that %s and claims the next message', async (_, change) => {
    const [unreadable, id] = [await bench.add(), await bench.add()];
    const key = bench.keys.message(SHARD, unreadable);
    await bench.redis.set(key, change((await bench.redis.get(key)) ?? ''));
    expect((await bench.claim()).messageId).toBe(id);
    expect(await bench.outbox()).toEqual([id]);
    expect(await bench.redis.zrange(bench.keys.expiry(SHARD), '0', '-1')).toEqual([id]);
    const [letter, ...more] = await deadLetters();
    expect([letter?.reason, more]).toEqual(['unreadable-record', []]);
    expect(letter?.details).toContain(unreadable);
  });

  it.each([
    ['no status', ['status']],
    ['no time to live', ['expires_at']],
    ['no time of acceptance', ['created_at']],
    ['no payload', ['payload']],
    ['no directive', ['directive']],
    ['no history and no time to live', ['history', 'keep', 'expires_at']],
    ['no client', ['client_id']],
  ])('dead-letters a message of 0.1.0 with %s and claims the next message', async (_, fields) => {
    const [unreadable, id] = [await bench.add(), await bench.add()];
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, unreadable));
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
    expect([...(await bench.finishedLists()).values()].flat()).toContain(unreadable);
  });

  it.each([
    ['status', 'lost'],
    ['expires_at', 'soon'],
    ['created_at', ''],
    ['client_id', 'another'],
  ])('dead-letters a message of 0.1.0 whose %s is %j and claims the next message', async (field, value) => {
    const [unreadable, id] = [await bench.add(), await bench.add()];
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, unreadable), { [field]: value });
    expect((await bench.claim()).messageId).toBe(id);
    expect(await deadLetters()).toHaveLength(1);
  });

  it('publishes a message of 0.1.0 with invalid attempts, retention and history', async () => {
    const id = await bench.add();
    const changes = { attempts: 'many', keep: 'long', history: '' };
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id), changes);
    const { attempt } = await bench.claim();
    expect(attempt).toBe(1);
    await bench.complete({ messageId: id, attempt, outcome: 'sent' });
    expect(await bench.statuses(id)).toEqual(['in_flight', 'sent']);
  });

  it.each(['message', 'outbox'])('dead-letters a key of the wrong type in place of the %s', async (which) => {
    const id = await bench.add();
    const key = which === 'message' ? bench.keys.message(SHARD, id) : bench.keys.outbox(SHARD, CLIENT);
    await bench.redis.del(key);
    await bench.redis.sadd(key, 'text');
    expect(await bench.takeOver()).toEqual({ kind: 'empty' });
    expect(await deadLetters()).toHaveLength(1);
  });
});
