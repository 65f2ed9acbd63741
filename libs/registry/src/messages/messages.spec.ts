import { newMessageId } from '@app/protocol';
import { CLIENT, SHARD, SHARDS, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { heldCounts } from './outbox.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

describe('reading a message', () => {
  it('returns it with its history', async () => {
    await bench.become('online');
    const { messageId, createdAt, expiresAt } = await bench.accepted();
    expect(await bench.messages.read(messageId)).toEqual({
      messageId,
      clientId: CLIENT,
      directive: 'rhc:work',
      status: 'queued',
      createdAt,
      expiresAt,
      history: [{ status: 'queued', at: createdAt }],
    });
  });

  it.each([
    ['an id of no message', newMessageId(SHARD)],
    ['an id that this service did not make', 'd290f1ee-6c54-4b01-90e6-d701748f0851'],
    ['an id of a shard that does not exist', newMessageId(SHARDS)],
    ['any text', 'x'],
  ])('finds no message for %s', async (_, id) => {
    expect(await bench.messages.read(id)).toBeUndefined();
    expect(await bench.messages.cancel(id)).toEqual({ kind: 'unknown' });
  });

  it('derives held and queued from the current state of the client', async () => {
    await bench.become('online');
    const { messageId } = await bench.accepted();
    const status = async (): Promise<string | undefined> => (await bench.messages.read(messageId))?.status;
    expect(await status()).toBe('queued');
    await bench.become('offline');
    expect(await status()).toBe('held');
    await bench.become('online');
    expect(await status()).toBe('queued');
  });

  it('shows messages behind an undelivered one as held until that one is published', async () => {
    await bench.become('online');
    const [first, second] = [await bench.accepted(), await bench.accepted()];
    await bench.takeOver();
    await bench.complete({ messageId: first.messageId, attempt: 1, outcome: 'no-subscribers' });
    expect((await bench.messages.read(first.messageId))?.status).toBe('held');
    expect((await bench.messages.read(second.messageId))?.status).toBe('held');
    await bench.takeOver();
    expect((await bench.messages.read(first.messageId))?.status).toBe('in_flight');
    await bench.complete({ messageId: first.messageId, attempt: 2, outcome: 'sent' });
    expect((await bench.messages.read(first.messageId))?.status).toBe('sent');
    expect((await bench.messages.read(second.messageId))?.status).toBe('in_flight');
  });

  it('does not show a message as held if its last attempt failed for another reason', async () => {
    await bench.become('online');
    const { messageId } = await bench.accepted();
    await bench.takeOver();
    await bench.complete({ messageId, attempt: 1, outcome: 'no-subscribers' });
    await bench.takeOver();
    await bench.complete({ messageId, attempt: 2, outcome: 'retry', details: 'quota' });
    expect((await bench.messages.read(messageId))?.status).toBe('queued');
  });

  it('never shows a finished message as held', async () => {
    await bench.become('online');
    const { messageId } = await bench.accepted();
    await bench.messages.cancel(messageId);
    await bench.become('offline');
    expect((await bench.messages.read(messageId))?.status).toBe('cancelled');
  });
});

describe('cancelling a message', () => {
  it.each(['online', 'offline'] as const)('removes a message that waits for an %s client', async (state) => {
    await bench.become(state);
    const [first, second] = [await bench.accepted(), await bench.accepted()];
    expect(await bench.messages.cancel(first.messageId)).toEqual({ kind: 'cancelled' });
    expect((await bench.messages.read(first.messageId))?.history.map(({ status }) => status)).toEqual([
      'queued',
      'cancelled',
    ]);
    expect(await bench.outbox()).toEqual([second.messageId]);
    expect(await bench.redis.zrange(bench.keys.expiry(SHARD), '0', '-1')).toEqual([second.messageId]);
  });

  it('is refused after the message was claimed, and changes nothing', async () => {
    await bench.become('online');
    const { messageId } = await bench.accepted();
    await bench.takeOver();
    expect(await bench.messages.cancel(messageId)).toEqual({ kind: 'too-late', status: 'in_flight' });
    expect(await bench.outbox()).toEqual([messageId]);
    await bench.complete({ messageId, attempt: 1, outcome: 'sent' });
    expect(await bench.messages.cancel(messageId)).toEqual({ kind: 'too-late', status: 'sent' });
  });

  it('is refused the second time', async () => {
    await bench.become('online');
    const { messageId } = await bench.accepted();
    await bench.messages.cancel(messageId);
    expect(await bench.messages.cancel(messageId)).toEqual({ kind: 'too-late', status: 'cancelled' });
  });

  it('is possible between two attempts', async () => {
    await bench.become('online');
    const { messageId } = await bench.accepted();
    await bench.takeOver();
    await bench.complete({ messageId, attempt: 1, outcome: 'no-subscribers' });
    expect(await bench.messages.cancel(messageId)).toEqual({ kind: 'cancelled' });
    expect(await bench.outbox()).toEqual([]);
  });
});

describe('a key of the wrong type', () => {
  const letters = async (): Promise<number> => bench.redis.xlen(bench.keys.deadLetters(SHARD));

  it.each(['online', 'offline'] as const)(
    'in place of an outbox becomes a dead letter when a message for the client is accepted (client %s)',
    async (state) => {
      await bench.become(state);
      await bench.redis.set(bench.keys.outbox(SHARD, CLIENT), 'text');
      const { messageId } = await bench.accepted();
      expect(await bench.outbox()).toEqual([messageId]);
      expect(await letters()).toBe(1);
    },
  );

  it('in place of an outbox does not prevent cancelling', async () => {
    await bench.become('offline');
    const { messageId } = await bench.accepted();
    await bench.redis.set(bench.keys.outbox(SHARD, CLIENT), 'text');
    expect(await bench.messages.cancel(messageId)).toEqual({ kind: 'cancelled' });
    expect(await letters()).toBe(1);
  });

  it('does not prevent listing and reading', async () => {
    await bench.become('online');
    const [unreadable, other] = [await bench.accepted(), await bench.accepted()];
    await bench.redis.set(bench.keys.message(SHARD, unreadable.messageId), 'text');
    expect(await bench.messages.read(unreadable.messageId)).toBeUndefined();
    const idsOf = async (): Promise<string[]> =>
      (await bench.messages.list(CLIENT, 10)).messages.map(({ messageId }) => messageId);
    expect(await idsOf()).toEqual([other.messageId]);
    expect(await heldCounts(bench.redis, bench.keys, SHARD, [CLIENT])).toEqual([0]);
    await bench.redis.set(bench.keys.outbox(SHARD, CLIENT), 'text');
    expect(await idsOf()).toEqual([other.messageId]);
    expect(await heldCounts(bench.redis, bench.keys, SHARD, [CLIENT])).toEqual([0]);
  });

  it('in place of the answer to an Idempotency-Key is ignored', async () => {
    await bench.become('online');
    await bench.redis.set(bench.keys.idempotency(SHARD, CLIENT, 'k'), 'text');
    const first = await bench.accepted({ idempotencyKey: 'k' });
    expect(await bench.accept({ idempotencyKey: 'k' })).toMatchObject({ replayed: true, message: first });
  });
});
