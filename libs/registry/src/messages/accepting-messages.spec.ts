import { shardOfMessageId } from '@app/protocol';
import {
  CLIENT,
  LIMITS,
  SHARD,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { Messages, type NewMessage } from './messages.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun), { outboxLimit: 3 });

beforeEach(() => bench.redis.set(bench.keys.swept(SHARD), 1));

describe('accepting a message', () => {
  it.each(['host', 'proxy'] as const)('queues the message for an online %s', async (type) => {
    await bench.become('online', { type });
    const id = bench.messages.mint(CLIENT);
    const before = await bench.now();
    const outcome = await bench.accept({ messageId: id, ttlMs: 60_000 });
    const after = await bench.now();
    if (outcome.kind !== 'accepted') throw new Error(outcome.kind);
    const { createdAt, expiresAt } = outcome.message;
    expect(outcome).toEqual({
      kind: 'accepted',
      shard: SHARD,
      replayed: false,
      message: { messageId: id, clientId: CLIENT, directive: 'rhc:work', status: 'queued', createdAt, expiresAt },
    });
    expect(createdAt).toBeGreaterThanOrEqual(before);
    expect(createdAt).toBeLessThanOrEqual(after);
    expect(expiresAt).toBe(createdAt + 60_000);
    expect(await bench.outbox()).toEqual([id]);
    expect(await bench.redis.zscore(bench.keys.expiry(SHARD), id)).toBe(`${expiresAt}`);
  });

  it('holds the message for an offline client, which is not ready for a dispatcher', async () => {
    await bench.become('offline');
    expect(await bench.accepted()).toMatchObject({ status: 'held' });
    expect(await bench.redis.exists(bench.keys.ready(SHARD))).toBe(0);
  });

  it('makes an online client ready for a dispatcher, also one that came online and was not looked at yet', async () => {
    await bench.become('online');
    const { createdAt } = await bench.accepted();
    expect(Math.floor(Number(await bench.redis.zscore(bench.keys.ready(SHARD), CLIENT)) / 1000)).toBe(createdAt);
    await bench.redis.zadd(bench.keys.ready(SHARD), 0, CLIENT);
    await bench.accepted();
    expect(await bench.redis.zscore(bench.keys.ready(SHARD), CLIENT)).toBe('0');
  });

  it('returns unknown for a client that never registered, and stores nothing', async () => {
    expect(await bench.accept()).toEqual({ kind: 'unknown' });
    expect(await bench.accept({ whenOffline: 'reject' })).toEqual({ kind: 'unknown' });
    expect(await bench.redis.keys(`${bench.keys.prefix}*`)).toEqual([bench.keys.swept(SHARD)]);
  });

  it('returns building for an unknown client before the first sweep has ended', async () => {
    await bench.redis.del(bench.keys.swept(SHARD));
    expect(await bench.accept()).toEqual({ kind: 'building' });
    await bench.become('offline');
    expect(await bench.accept()).toMatchObject({ kind: 'accepted' });
  });

  it('rejects a message for an offline client if the caller asks for it, and stores nothing', async () => {
    await bench.become('offline');
    const before = await bench.redis.keys(`${bench.keys.prefix}*`);
    expect(await bench.accept({ whenOffline: 'reject', idempotencyKey: 'k' })).toEqual({ kind: 'offline' });
    expect((await bench.redis.keys(`${bench.keys.prefix}*`)).sort()).toEqual(before.sort());
    await bench.become('online');
    expect(await bench.accept({ whenOffline: 'reject', idempotencyKey: 'k' })).toMatchObject({
      kind: 'accepted',
      replayed: false,
    });
  });

  it('refuses a message if the outbox is full, until another one leaves it', async () => {
    await bench.become('offline');
    const first = await bench.accepted();
    await bench.accepted();
    await bench.accepted();
    expect(await bench.accept({ idempotencyKey: 'k' })).toEqual({ kind: 'full' });
    expect(await bench.outbox()).toHaveLength(3);
    await bench.messages.cancel(first.messageId);
    expect(await bench.accept({ idempotencyKey: 'k' })).toMatchObject({ kind: 'accepted', replayed: false });
  });

  it('keeps the order of acceptance', async () => {
    await bench.become('online');
    const ids = [await bench.accepted(), await bench.accepted(), await bench.accepted()].map(
      ({ messageId }) => messageId,
    );
    expect(await bench.outbox()).toEqual(ids);
  });

  it('refuses a message for any client of a shard that is full', async () => {
    await bench.become('offline');
    const limited = new Messages(bench.redis, bench.keys, { ...LIMITS, shardLimit: 2 });
    const ids = [CLIENT, CLIENT, CLIENT].map((id) => limited.mint(id));
    const { outcomes } = await limited.accept(
      SHARD,
      ids.map((messageId) => bench.minted({ messageId })),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['accepted', 'accepted', 'shard-full']);
    await limited.cancel(ids[0] ?? '');
    expect((await limited.accept(SHARD, [bench.minted()])).outcomes).toMatchObject([{ kind: 'accepted' }]);
  });

  it.each(['{"a":1}', `"${'x'.repeat(5000)}"`])(
    'stores the payload until the message has finished',
    async (payloadJson) => {
      await bench.become('offline');
      const { messageId } = await bench.accepted({ payloadJson });
      const texts = async (): Promise<string> =>
        (await bench.redis.mget(bench.keys.message(SHARD, messageId), bench.keys.payload(SHARD, messageId))).join('\n');
      expect(await texts()).toContain(payloadJson);
      await bench.messages.cancel(messageId);
      expect(await texts()).not.toContain(payloadJson);
      expect(await bench.redis.exists(bench.keys.payload(SHARD, messageId))).toBe(0);
    },
  );

  it('returns the same answer for a repeated id, and queues the message once', async () => {
    await bench.become('online');
    const id = bench.messages.mint(CLIENT);
    const first = await bench.accept({ messageId: id });
    expect(await bench.accept({ messageId: id })).toEqual(first);
    expect(await bench.outbox()).toEqual([id]);
  });

  it('does not queue a message again whose id is repeated after it was sent', async () => {
    await bench.become('online');
    const id = bench.messages.mint(CLIENT);
    await bench.accept({ messageId: id });
    await bench.takeOver();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await bench.accept({ messageId: id })).toMatchObject({ kind: 'accepted', replayed: false });
    expect(await bench.outbox()).toEqual([]);
    expect((await bench.messages.read(id))?.status).toBe('sent');
  });

  it('accepts a repeated id even if the outbox is full or the client has gone offline', async () => {
    await bench.become('online');
    const id = bench.messages.mint(CLIENT);
    await bench.accept({ messageId: id, whenOffline: 'reject' });
    await bench.accepted();
    await bench.accepted();
    await bench.become('offline');
    expect(await bench.accept({ messageId: id, whenOffline: 'reject' })).toMatchObject({ kind: 'accepted' });
    expect(await bench.outbox()).toHaveLength(3);
  });

  it('accepts a repeated id even if Redis is full now', async () => {
    await bench.become('online');
    const minted = [bench.minted({}), bench.minted({})];
    const before = await bench.messages.accept(SHARD, minted);
    await bench.redis.config('SET', 'maxmemory', '1');
    try {
      expect((await bench.messages.accept(SHARD, minted)).outcomes).toEqual(before.outcomes);
      await expect(bench.messages.accept(SHARD, [bench.minted({})])).rejects.toThrow('OOM');
    } finally {
      await bench.redis.config('SET', 'maxmemory', '0');
    }
    expect(await bench.outbox()).toEqual(minted.map(({ messageId }) => messageId));
  });

  it('makes ids that contain the shard', () => {
    expect(shardOfMessageId(bench.messages.mint(CLIENT))).toBe(SHARD);
  });
});

describe('accepting several messages', () => {
  const [online, offline, unknown] = [neighbour('online'), neighbour('offline'), neighbour('unknown')];

  beforeEach(async () => {
    await bench.redis.zadd(bench.keys.online(SHARD, 'host'), 0, online);
    await bench.redis.hset(bench.keys.connections(SHARD), online, '{}', offline, '{}');
  });

  it('returns for each message the same outcome as alone, also if others are refused', async () => {
    const wanted: Partial<NewMessage>[] = [
      { clientId: online },
      { clientId: unknown },
      { clientId: offline, whenOffline: 'reject' },
      { clientId: offline },
      { clientId: online, idempotencyKey: 'k', directive: 'a' },
      { clientId: online, idempotencyKey: 'k', directive: 'a' },
      { clientId: online, idempotencyKey: 'k', directive: 'b' },
      { clientId: online },
      { clientId: online },
      { clientId: offline },
    ];
    const minted = wanted.map((more) => bench.minted(more));
    const { outcomes } = await bench.messages.accept(SHARD, minted);
    const kinds = outcomes.map((one) =>
      one.kind === 'accepted' ? `${one.message.status}${one.replayed ? ', replayed' : ''}` : one.kind,
    );
    expect(kinds).toEqual([
      ...['queued', 'unknown', 'offline', 'held', 'queued', 'queued, replayed', 'mismatch', 'queued', 'full', 'held'],
    ]);
    const idsOf = (positions: number[]): string[] => positions.map((i) => minted[i]?.messageId ?? '');
    expect(await bench.redis.lrange(bench.keys.outbox(SHARD, online), 0, -1)).toEqual(idsOf([0, 4, 7]));
    expect(await bench.redis.lrange(bench.keys.outbox(SHARD, offline), 0, -1)).toEqual(idsOf([3, 9]));
    expect(await bench.redis.zrange(bench.keys.ready(SHARD), '0', '-1')).toEqual([online]);
    // The caller repeats the call after a lost reply: it changes nothing.
    const again = await bench.messages.accept(SHARD, minted);
    expect(again.outcomes.filter((_, i) => i !== 5)).toEqual(outcomes.filter((_, i) => i !== 5));
    expect(await bench.redis.llen(bench.keys.outbox(SHARD, online))).toBe(3);
  });
});
