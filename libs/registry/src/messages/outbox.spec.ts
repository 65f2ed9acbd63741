import { StaleOwnerError } from '@app/sharding';
import { changeStoredMessage } from '../../../../test/support/stored-message.js';
import { EXPIRED_UNKNOWN, OUTCOME_UNKNOWN } from '../message-status.js';
import { DueTodos } from '../todos/due-work.js';
import {
  CLIENT,
  GRANT,
  SHARD,
  claimed,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(() => bench.become('online'));

describe('the owner of an outbox', () => {
  it('claims the messages one after the other, in the order of acceptance', async () => {
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push(await bench.add({ directive: `d${i}` }));
    const published: string[] = [];
    let step = await bench.takeOver();
    while (step.kind === 'claimed') {
      published.push(step.message.messageId);
      step = await bench.complete({ messageId: step.message.messageId, attempt: 1, outcome: 'sent' });
    }
    expect(step).toEqual({ kind: 'empty' });
    expect(published).toEqual(ids);
    for (const id of ids) expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'sent']);
    expect(
      await bench.redis.exists(bench.keys.outbox(SHARD, CLIENT), bench.keys.expiry(SHARD), bench.keys.claimed(SHARD)),
    ).toBe(0);
  });

  it('returns the accepted message with the claim', async () => {
    const id = await bench.add({ payloadJson: '{"a":[1,"ü😀"]}', requestId: 'request-7' });
    const stored = await bench.messages.read(id);
    const message = await bench.claim();
    expect(message).toEqual({
      clientId: CLIENT,
      messageId: id,
      directive: 'rhc:work',
      payloadJson: '{"a":[1,"ü😀"]}',
      expiresAt: stored?.expiresAt,
      requestId: 'request-7',
      attempt: 1,
      createdAt: stored?.createdAt,
      isFollowed: false,
    });
  });

  it('learns with the claim whether another message waits behind it', async () => {
    const ids = [await bench.add(), await bench.add()];
    expect((await bench.claim()).isFollowed).toBe(true);
    const last = await bench.complete({ messageId: ids[0] ?? '', attempt: 1, outcome: 'sent' });
    expect(claimed(last)).toMatchObject({ messageId: ids[1], isFollowed: false });
  });

  it('distinguishes a message without a payload from one whose payload is null', async () => {
    const first = await bench.add({ payloadJson: undefined });
    await bench.add({ payloadJson: 'null' });
    expect((await bench.claim()).payloadJson).toBeUndefined();
    expect(claimed(await bench.complete({ messageId: first, attempt: 1, outcome: 'sent' })).payloadJson).toBe('null');
  });

  it('finds an outbox empty that does not exist', async () => {
    expect(await bench.takeOver()).toEqual({ kind: 'empty' });
  });

  it('keeps the connection claimed while a publish is pending, and leaves it when its outbox is empty', async () => {
    const id = await bench.add();
    await bench.claim();
    expect(await bench.redis.smembers(bench.keys.claimed(SHARD))).toEqual([CLIENT]);
    expect(await bench.redis.exists(bench.keys.ready(SHARD))).toBe(0);
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await bench.redis.exists(bench.keys.claimed(SHARD), bench.keys.ready(SHARD))).toBe(0);
  });

  it('claims the message of a dispatcher that died first, under the same id', async () => {
    const [first] = [await bench.add({ directive: 'first' }), await bench.add({ directive: 'second' })];
    expect(await bench.claim()).toMatchObject({ messageId: first, attempt: 1 });
    expect(await bench.claim()).toMatchObject({ messageId: first, attempt: 2, directive: 'first' });
    expect(await bench.statuses(first)).toEqual(['queued', 'in_flight']);
  });

  it('expires a message whose time to live has ended, and claims the next one', async () => {
    const short = await bench.add({ ttlMs: 1 });
    const long = await bench.add();
    await bench.untilExpiry(short);
    const step = await bench.takeOver();
    expect(claimed(step).messageId).toBe(long);
    expect(await bench.statuses(short)).toEqual(['queued', 'expired']);
    expect(await bench.outbox()).toEqual([long]);
    expect(await bench.redis.zrange(bench.keys.expiry(SHARD), '0', '-1')).toEqual([long]);
  });

  it('does not publish a claimed message again past its time to live, and says that its outcome is unknown', async () => {
    const id = await bench.add();
    const next = await bench.add();
    await bench.claim();
    await bench.endTimeToLive(id);
    expect(await bench.claim()).toMatchObject({ messageId: next, attempt: 1 });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
    expect((await bench.messages.read(id))?.history.at(-1)?.details).toBe(EXPIRED_UNKNOWN);
    expect(await bench.outbox()).toEqual([next]);
  });

  it('knows that nothing was published of a message that only it has claimed, and has not written', async () => {
    const id = await bench.add();
    await bench.claim();
    await bench.endTimeToLive(id);
    await bench.complete({ messageId: id, outcome: 'unwritten' });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued', 'expired']);
  });

  it('does not know the outcome of a message that another owner has claimed before', async () => {
    const id = await bench.add();
    await bench.claim();
    await bench.claim();
    await bench.endTimeToLive(id);
    await bench.complete({ messageId: id, outcome: 'unwritten' });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
  });

  it.each([
    ['a new owner, since the client is offline', () => bench.takeOver()],
    ['the owner that stops before the PUBACK', () => bench.owning((grant) => bench.work.release(grant, undefined))],
  ])('says that the outcome is unknown if a claimed message is put back by %s, and it expires', async (_, putBack) => {
    await bench.own();
    const id = await bench.add();
    await bench.claim();
    await bench.become('offline');
    await putBack();
    expect((await bench.messages.read(id))?.history.at(-1)).toMatchObject({
      status: 'queued',
      details: OUTCOME_UNKNOWN,
    });
    await bench.endTimeToLive(id);
    const due = new DueTodos(bench.redis, bench.keys);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0, outcomeUnknown: 1 });
    expect((await bench.messages.read(id))?.history.at(-1)).toMatchObject({
      status: 'failed',
      details: EXPIRED_UNKNOWN,
    });
    expect(await bench.outbox()).toEqual([]);
  });

  it('gives up a message that no owner completes, five minutes after its time to live has ended', async () => {
    await bench.own();
    const id = await bench.add();
    const next = await bench.add();
    await bench.claim();
    await bench.endTimeToLive(id);
    const due = new DueTodos(bench.redis, bench.keys);
    const ended = async (ms: number): Promise<void> => {
      const created = `${(await bench.now()) - ms}`;
      await changeStoredMessage(bench.redis, bench.keys.message(SHARD, id), { created, ttl: '0' });
    };
    await ended(299_000);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0, outcomeUnknown: 0 });
    await bench.redis.zadd(bench.keys.expiry(SHARD), 1000, id);
    await ended(300_000);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0, outcomeUnknown: 1 });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
    expect(await bench.outbox()).toEqual([next]);
    // A dispatcher that comes back takes over what is left.
    expect(await bench.claim()).toMatchObject({ messageId: next });
  });

  it('removes a finished message without publishing it', async () => {
    const [cancelled, next] = [await bench.add(), await bench.add()];
    await bench.messages.cancel(cancelled);
    // As if the cancelled message had stayed in the list.
    await bench.redis.lpush(bench.keys.outbox(SHARD, CLIENT), cancelled);
    expect((await bench.claim()).messageId).toBe(next);
    expect(await bench.statuses(cancelled)).toEqual(['queued', 'cancelled']);
  });

  it('numbers the claims of owners that follow each other', async () => {
    const ids = [await bench.add(), await bench.add(), await bench.add()];
    for (let attempt = 1; attempt <= 10; attempt++) {
      expect(await bench.claim()).toMatchObject({ messageId: ids[0], attempt });
    }
  });
});

describe('the owner of the outbox of an offline client', () => {
  it('leaves the messages held, and the connection until it is online', async () => {
    const id = await bench.add();
    await bench.become('offline');
    expect(await bench.takeOver()).toEqual({ kind: 'offline' });
    expect(await bench.outbox()).toEqual([id]);
    expect((await bench.messages.read(id))?.status).toBe('held');
    expect(await bench.redis.exists(bench.keys.claimed(SHARD), bench.keys.ready(SHARD))).toBe(0);
  });

  it('puts a message in flight back, so that it can be cancelled or expire', async () => {
    const id = await bench.add();
    await bench.claim();
    await bench.become('offline');
    expect(await bench.takeOver()).toEqual({ kind: 'offline' });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
    expect(await bench.messages.cancel(id)).toEqual({ kind: 'cancelled' });
  });

  it('completes results first, so that a sent message is not put back', async () => {
    const [sent, held] = [await bench.add(), await bench.add()];
    await bench.claim();
    await bench.become('offline');
    expect(await bench.complete({ messageId: sent, attempt: 1, outcome: 'sent' })).toEqual({ kind: 'offline' });
    expect(await bench.statuses(sent)).toEqual(['queued', 'in_flight', 'sent']);
    expect(await bench.outbox()).toEqual([held]);
  });

  it('continues in the old order when the client is online again', async () => {
    const ids = [await bench.add(), await bench.add()];
    await bench.claim();
    await bench.become('offline');
    await bench.takeOver();
    await bench.become('online');
    expect(await bench.claim()).toMatchObject({ messageId: ids[0], attempt: 2 });
    const next = await bench.complete({ messageId: ids[0] ?? '', attempt: 2, outcome: 'sent' });
    expect(claimed(next).messageId).toBe(ids[1]);
  });

  it('keeps a message that a newer owner has put back if a former owner completes it', async () => {
    const id = await bench.add();
    await bench.claim();
    await bench.become('offline');
    await bench.takeOver();
    // The former owner was frozen, and completes the message late.
    const late = bench.asFormerOwner({ messageId: id, attempt: 1, outcome: 'sent' });
    await expect(late).rejects.toThrow(StaleOwnerError);
    expect(await bench.outbox()).toEqual([id]);
    expect((await bench.messages.read(id))?.status).toBe('held');
  });
});
