import { newMessageId, shardOf, shardOfMessageId } from '@app/protocol';
import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { Draining } from '../../../../test/support/draining.js';
import { acceptOne } from '../../../../test/support/messages.js';
import type { MessageStatus } from '../message-status.js';
import { Messages, type AcceptOutcome, type AcceptedMessage, type NewMessage } from './messages.js';
import { heldCounts, Outboxes } from './outbox.js';
import { RegistryKeys } from '../keys.js';
import { WAKE_AGAIN_MS, WAKE_TODO } from './wake-todo.js';

const SHARDS = 8;
const RETENTION_MS = 86_400_000;
const DAY_MS = 86_400_000;
const LIMITS = { shardCount: SHARDS, outboxLimit: 3, shardLimit: 1000, retentionMs: RETENTION_MS };

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let draining: Draining;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`messages${keySpaces++}`);
  await redis.set(keys.swept(SHARD), 1);
  messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 3,
    shardLimit: 1000,
    retentionMs: RETENTION_MS,
  });
  draining = new Draining(redis, keys, new Outboxes(redis, keys, SHARDS), CLIENT, SHARDS);
});

const CLIENT = 'host-1';
const SHARD = shardOf(CLIENT, SHARDS);

async function become(state: 'online' | 'offline', type: 'host' | 'proxy' = 'host'): Promise<void> {
  await redis
    .multi()
    .hset(keys.connections(SHARD), CLIENT, '{}')
    .zrem(keys.index(SHARD, state === 'online' ? 'offline' : 'online', type), CLIENT)
    .zadd(keys.index(SHARD, state, type), 0, CLIENT)
    .exec();
}

function message(more: Partial<NewMessage> = {}): NewMessage {
  return {
    clientId: CLIENT,
    directive: 'rhc:work',
    payloadJson: '{"a":1}',
    ttlMs: 60_000,
    whenOffline: 'hold',
    idempotencyKey: undefined,
    requestId: 'request-1',
    ...more,
  };
}

function accept(more: Partial<NewMessage> = {}): Promise<AcceptOutcome> {
  return acceptOne(messages, messages.mint(CLIENT), message(more));
}

async function accepted(more: Partial<NewMessage> = {}): Promise<AcceptedMessage> {
  const outcome = await accept(more);
  if (outcome.kind !== 'accepted') throw new Error(`the message was not accepted but ${outcome.kind}`);
  return outcome.message;
}

async function waiting(): Promise<string[]> {
  return redis.lrange(keys.outbox(SHARD, CLIENT), 0, -1);
}

async function redisNow(): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

describe('accepting a message', () => {
  it.each(['host', 'proxy'] as const)('queues it for an online %s', async (type) => {
    await become('online', type);
    const id = messages.mint(CLIENT);
    const before = await redisNow();
    const outcome = await acceptOne(messages, id, message());
    const after = await redisNow();
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
    expect(await waiting()).toEqual([id]);
    expect(await redis.zscore(keys.expiry(SHARD), id)).toBe(`${expiresAt}`);
  });

  it('holds it for an offline client, and wakes nobody', async () => {
    await become('offline');
    expect(await accepted()).toMatchObject({ status: 'held' });
    expect(await redis.zcard(keys.todo(SHARD))).toBe(0);
  });

  it('writes a wake-up for an online client, due after its own wake-up had its time', async () => {
    await become('online');
    const { createdAt } = await accepted();
    expect(await redis.zscore(keys.todo(SHARD), WAKE_TODO)).toBe(`${createdAt + WAKE_AGAIN_MS}`);
  });

  it('leaves a wake-up that is due earlier as it is', async () => {
    await become('online');
    await redis.zadd(keys.todo(SHARD), 5, WAKE_TODO);
    await accepted();
    expect(await redis.zscore(keys.todo(SHARD), WAKE_TODO)).toBe('5');
  });

  it('does not know a client that never registered, and stores nothing for it', async () => {
    expect(await accept()).toEqual({ kind: 'unknown' });
    expect(await accept({ whenOffline: 'reject' })).toEqual({ kind: 'unknown' });
    expect(await redis.keys(`${keys.prefix}*`)).toEqual([keys.swept(SHARD)]);
  });

  it('does not know whether a client has registered before the first sweep has ended', async () => {
    await redis.del(keys.swept(SHARD));
    expect(await accept()).toEqual({ kind: 'building' });
    await become('offline');
    expect(await accept()).toMatchObject({ kind: 'accepted' });
  });

  it('rejects a message for an offline client if the caller asks for that, and stores nothing', async () => {
    await become('offline');
    const before = await redis.keys(`${keys.prefix}*`);
    expect(await accept({ whenOffline: 'reject', idempotencyKey: 'k' })).toEqual({ kind: 'offline' });
    expect((await redis.keys(`${keys.prefix}*`)).sort()).toEqual(before.sort());
    await become('online');
    expect(await accept({ whenOffline: 'reject', idempotencyKey: 'k' })).toMatchObject({
      kind: 'accepted',
      replayed: false,
    });
  });

  it('refuses what is past the limit of the outbox, until something leaves it', async () => {
    await become('offline');
    const first = await accepted();
    await accepted();
    await accepted();
    expect(await accept({ idempotencyKey: 'k' })).toEqual({ kind: 'full' });
    expect(await waiting()).toHaveLength(3);
    await messages.cancel(first.messageId);
    expect(await accept({ idempotencyKey: 'k' })).toMatchObject({ kind: 'accepted', replayed: false });
  });

  it('keeps the order of acceptance', async () => {
    await become('online');
    const ids = [await accepted(), await accepted(), await accepted()].map(({ messageId }) => messageId);
    expect(await waiting()).toEqual(ids);
  });

  it('refuses what is past the limit of the shard, whichever of its clients it is for', async () => {
    await become('offline');
    const limited = new Messages(redis, keys, { ...LIMITS, outboxLimit: 100, shardLimit: 2 });
    const ids = [CLIENT, CLIENT, CLIENT].map((id) => limited.mint(id));
    const { outcomes } = await limited.accept(
      SHARD,
      ids.map((messageId) => ({ ...message(), messageId })),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['accepted', 'accepted', 'shard-full']);
    await limited.cancel(ids[0] ?? '');
    expect((await acceptOne(limited, limited.mint(CLIENT), message())).kind).toBe('accepted');
  });

  it('keeps no payload of a message that has come to its end', async () => {
    await become('offline');
    const { messageId } = await accepted();
    expect(await redis.hget(keys.message(SHARD, messageId), 'payload')).toBe('{"a":1}');
    await messages.cancel(messageId);
    expect(await redis.hexists(keys.message(SHARD, messageId), 'payload')).toBe(0);
  });

  it('can be repeated with the same id: the answer is the same and it is queued once', async () => {
    await become('online');
    const id = messages.mint(CLIENT);
    const first = await acceptOne(messages, id, message());
    expect(await acceptOne(messages, id, message())).toEqual(first);
    expect(await waiting()).toEqual([id]);
  });

  it('can be repeated with the same id after it was sent, and is not queued again', async () => {
    await become('online');
    const id = messages.mint(CLIENT);
    await acceptOne(messages, id, message());
    await draining.claim();
    await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await acceptOne(messages, id, message())).toMatchObject({ kind: 'accepted', replayed: false });
    expect(await waiting()).toEqual([]);
    expect((await messages.read(id))?.status).toBe('sent');
  });

  it('accepts a repeated request with the same id even if the outbox is full or the client went offline since', async () => {
    await become('online');
    const id = messages.mint(CLIENT);
    await acceptOne(messages, id, message({ whenOffline: 'reject' }));
    await accepted();
    await accepted();
    await become('offline');
    expect(await acceptOne(messages, id, message({ whenOffline: 'reject' }))).toMatchObject({ kind: 'accepted' });
    expect(await waiting()).toHaveLength(3);
  });

  it('mints ids that find their shard', () => {
    expect(shardOfMessageId(messages.mint(CLIENT))).toBe(SHARD);
  });
});

describe('an Idempotency-Key', () => {
  beforeEach(() => become('online'));

  it('gives the first answer again, marked as replayed, and sends nothing new', async () => {
    const first = await accepted({ idempotencyKey: 'k' });
    const again = await accept({ idempotencyKey: 'k', requestId: 'request-2' });
    expect(again).toEqual({ kind: 'accepted', shard: SHARD, replayed: true, message: first });
    expect(await waiting()).toEqual([first.messageId]);
  });

  it('gives the status of then, also when the client has gone offline or has forgotten the message since', async () => {
    const first = await accepted({ idempotencyKey: 'k' });
    await become('offline');
    await redis.del(keys.message(SHARD, first.messageId));
    expect(await accept({ idempotencyKey: 'k' })).toMatchObject({ replayed: true, message: first });
  });

  it('is not a replay when the very same request is repeated after a lost reply', async () => {
    const id = messages.mint(CLIENT);
    const first = await acceptOne(messages, id, message({ idempotencyKey: 'k' }));
    expect(await acceptOne(messages, id, message({ idempotencyKey: 'k' }))).toEqual(first);
    expect(first).toMatchObject({ replayed: false });
  });

  it.each<[string, Partial<NewMessage>]>([
    ['directive', { directive: 'rhc:other' }],
    ['payload', { payloadJson: '{"a":2}' }],
    ['missing payload', { payloadJson: undefined }],
    ['time to live', { ttlMs: 61_000 }],
    ['wish for offline clients', { whenOffline: 'reject' }],
  ])('is a mismatch with another %s', async (_, other) => {
    const first = await accepted({ idempotencyKey: 'k' });
    expect(await accept({ idempotencyKey: 'k', ...other })).toEqual({ kind: 'mismatch' });
    expect(await waiting()).toEqual([first.messageId]);
  });

  it('distinguishes a payload of null from no payload', async () => {
    await accepted({ idempotencyKey: 'k', payloadJson: 'null' });
    expect(await accept({ idempotencyKey: 'k', payloadJson: undefined })).toEqual({ kind: 'mismatch' });
  });

  it('belongs to one client', async () => {
    const first = await accepted({ idempotencyKey: 'k' });
    // A client of the same shard, so that only the key distinguishes the two.
    const neighbour = Array.from({ length: 1000 }, (_, i) => `neighbour-${i}`).find(
      (id) => shardOf(id, SHARDS) === SHARD,
    );
    if (neighbour === undefined) throw new Error('no client of the same shard');
    await redis.zadd(keys.index(SHARD, 'online', 'host'), 0, neighbour);
    const outcome = await acceptOne(
      messages,
      messages.mint(neighbour),
      message({ clientId: neighbour, idempotencyKey: 'k' }),
    );
    expect(outcome).toMatchObject({ kind: 'accepted', replayed: false });
    expect(outcome).not.toMatchObject({ message: { messageId: first.messageId } });
  });

  describe('that was used for one account', () => {
    let first: string;

    beforeEach(async () => {
      await belongTo('a');
      first = messageIdOf(await acceptFor('a'));
    });

    const belongTo = (account: string): Promise<unknown> => redis.hset(keys.accounts(SHARD), CLIENT, account);

    const messageIdOf = (outcome: AcceptOutcome): string =>
      outcome.kind === 'accepted' ? outcome.message.messageId : outcome.kind;

    async function acceptFor(account: string | undefined, more: Partial<NewMessage> = {}): Promise<AcceptOutcome> {
      const minted = { ...message({ idempotencyKey: 'k', ...more }), messageId: messages.mint(CLIENT) };
      const { outcomes } = await messages.accept(SHARD, [minted], account);
      if (outcomes[0] === undefined) throw new Error('a message got no answer');
      return outcomes[0];
    }

    it('is repeated for it, and for a caller of all accounts', async () => {
      for (const account of ['a', undefined]) {
        expect(await acceptFor(account)).toMatchObject({ replayed: true, message: { messageId: first } });
      }
    });

    it.each(['b', undefined])(
      'is a new one when the client belongs to another account (caller bound to %s)',
      async (caller) => {
        await belongTo('b');
        const second = await acceptFor(caller);
        expect(second).toMatchObject({ kind: 'accepted', replayed: false });
        expect(await waiting()).toEqual([first, messageIdOf(second)]);
        expect(await acceptFor(caller)).toMatchObject({ replayed: true, message: { messageId: messageIdOf(second) } });
      },
    );

    it('reveals nothing of its body to the next account', async () => {
      await belongTo('b');
      expect(await acceptFor('b', { directive: 'rhc:other' })).toMatchObject({ kind: 'accepted', replayed: false });
    });

    it('has the account of its message if an earlier release has stored it', async () => {
      await redis.hdel(keys.idempotency(SHARD, CLIENT, 'k'), 'account');
      expect(await acceptFor('a')).toMatchObject({ replayed: true });
      await belongTo('b');
      expect(await acceptFor('b')).toMatchObject({ kind: 'accepted', replayed: false });
    });
  });

  it('used while the client had no account is a new one for a caller that is bound to one', async () => {
    const first = await accepted({ idempotencyKey: 'k' });
    await redis.hset(keys.accounts(SHARD), CLIENT, 'a');
    expect(await accept({ idempotencyKey: 'k' })).toMatchObject({ replayed: true, message: first });
    const minted = { ...message({ idempotencyKey: 'k' }), messageId: messages.mint(CLIENT) };
    expect((await messages.accept(SHARD, [minted], 'a')).outcomes).toMatchObject([{ replayed: false }]);
  });

  it('is remembered for 24 hours from the acceptance', async () => {
    await accepted({ idempotencyKey: 'k' });
    const left = await redis.pttl(keys.idempotency(SHARD, CLIENT, 'k'));
    expect(left).toBeLessThanOrEqual(DAY_MS);
    expect(left).toBeGreaterThan(DAY_MS - 60_000);
  });

  it('is not prolonged by a replay', async () => {
    await accepted({ idempotencyKey: 'k' });
    await redis.pexpire(keys.idempotency(SHARD, CLIENT, 'k'), 5000);
    await accept({ idempotencyKey: 'k' });
    expect(await redis.pttl(keys.idempotency(SHARD, CLIENT, 'k'))).toBeLessThanOrEqual(5000);
  });

  it('leaves no idempotency key behind if none was given', async () => {
    await accepted();
    expect(await redis.keys(`${keys.shard(SHARD)}:idempotency*`)).toEqual([]);
  });
});

describe('reading a message', () => {
  it('shows it with its history', async () => {
    await become('online');
    const { messageId, createdAt, expiresAt } = await accepted();
    expect(await messages.read(messageId)).toEqual({
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
    ['an id that is none of ours', 'd290f1ee-6c54-4b01-90e6-d701748f0851'],
    ['an id of a shard that does not exist', newMessageId(SHARDS)],
    ['any text', 'x'],
  ])('finds nothing for %s', async (_, id) => {
    expect(await messages.read(id)).toBeUndefined();
    expect(await messages.cancel(id)).toEqual({ kind: 'unknown' });
  });

  it('derives held and queued from the state of the client at that moment', async () => {
    await become('online');
    const { messageId } = await accepted();
    const status = async (): Promise<string | undefined> => (await messages.read(messageId))?.status;
    expect(await status()).toBe('queued');
    await become('offline');
    expect(await status()).toBe('held');
    await become('online');
    expect(await status()).toBe('queued');
  });

  it('shows messages that wait behind an undelivered one as held, until that one is published', async () => {
    await become('online');
    const [first, second] = [await accepted(), await accepted()];
    await draining.claim();
    await draining.settle({ messageId: first.messageId, attempt: 1, outcome: 'unheard' });
    expect((await messages.read(first.messageId))?.status).toBe('held');
    expect((await messages.read(second.messageId))?.status).toBe('held');
    await draining.claim();
    expect((await messages.read(first.messageId))?.status).toBe('in_flight');
    await draining.settle({ messageId: first.messageId, attempt: 2, outcome: 'sent' });
    expect((await messages.read(first.messageId))?.status).toBe('sent');
    expect((await messages.read(second.messageId))?.status).toBe('in_flight');
  });

  it('does not show a message as held whose last try failed for another reason', async () => {
    await become('online');
    const { messageId } = await accepted();
    await draining.claim();
    await draining.settle({ messageId, attempt: 1, outcome: 'unheard' });
    await draining.claim();
    await draining.settle({ messageId, attempt: 2, outcome: 'retry', details: 'quota' });
    expect((await messages.read(messageId))?.status).toBe('queued');
  });

  it('never shows a final message as held, whatever the client does', async () => {
    await become('online');
    const { messageId } = await accepted();
    await messages.cancel(messageId);
    await become('offline');
    expect((await messages.read(messageId))?.status).toBe('cancelled');
  });
});

describe('cancelling a message', () => {
  it.each(['online', 'offline'] as const)('withdraws one that waits for an %s client', async (state) => {
    await become(state);
    const [first, second] = [await accepted(), await accepted()];
    expect(await messages.cancel(first.messageId)).toEqual({ kind: 'cancelled' });
    expect((await messages.read(first.messageId))?.history.map(({ status }) => status)).toEqual([
      'queued',
      'cancelled',
    ]);
    expect(await waiting()).toEqual([second.messageId]);
    expect(await redis.zrange(keys.expiry(SHARD), '0', '-1')).toEqual([second.messageId]);
  });

  it('comes too late once the message was claimed, and changes nothing', async () => {
    await become('online');
    const { messageId } = await accepted();
    await draining.claim();
    expect(await messages.cancel(messageId)).toEqual({ kind: 'too-late', status: 'in_flight' });
    expect(await waiting()).toEqual([messageId]);
    await draining.settle({ messageId, attempt: 1, outcome: 'sent' });
    expect(await messages.cancel(messageId)).toEqual({ kind: 'too-late', status: 'sent' });
  });

  it('comes too late the second time', async () => {
    await become('online');
    const { messageId } = await accepted();
    await messages.cancel(messageId);
    expect(await messages.cancel(messageId)).toEqual({ kind: 'too-late', status: 'cancelled' });
  });

  it('is possible again between two tries', async () => {
    await become('online');
    const { messageId } = await accepted();
    await draining.claim();
    await draining.settle({ messageId, attempt: 1, outcome: 'unheard' });
    expect(await messages.cancel(messageId)).toEqual({ kind: 'cancelled' });
    expect(await waiting()).toEqual([]);
  });
});

describe('accepting many at once', () => {
  const neighbours = Array.from({ length: 1000 }, (_, i) => `n-${i}`).filter((id) => shardOf(id, SHARDS) === SHARD);
  const [online = '', offline = '', unknown = ''] = neighbours;

  beforeEach(async () => {
    await redis.zadd(keys.index(SHARD, 'online', 'host'), 0, online);
    await redis.hset(keys.connections(SHARD), online, '{}', offline, '{}');
  });

  it('answers each as if it had come alone, and one that is refused changes nothing for the others', async () => {
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
    const minted = wanted.map((more) => ({ ...message(more), messageId: messages.mint(more.clientId ?? '') }));
    const { outcomes } = await messages.accept(SHARD, minted);
    const kinds = outcomes.map((one) =>
      one.kind === 'accepted' ? `${one.message.status}${one.replayed ? ', replayed' : ''}` : one.kind,
    );
    expect(kinds).toEqual([
      ...['queued', 'unknown', 'offline', 'held', 'queued', 'queued, replayed', 'mismatch', 'queued', 'full', 'held'],
    ]);
    const idsOf = (positions: number[]): string[] => positions.map((i) => minted[i]?.messageId ?? '');
    expect(await redis.lrange(keys.outbox(SHARD, online), 0, -1)).toEqual(idsOf([0, 4, 7]));
    expect(await redis.lrange(keys.outbox(SHARD, offline), 0, -1)).toEqual(idsOf([3, 9]));
    expect(await redis.zcard(keys.todo(SHARD))).toBe(1);
    // A lost reply: the same again changes nothing.
    const again = await messages.accept(SHARD, minted);
    expect(again.outcomes.filter((_, i) => i !== 5)).toEqual(outcomes.filter((_, i) => i !== 5));
    expect(await redis.llen(keys.outbox(SHARD, online))).toBe(3);
  });
});

describe('a key of the wrong type', () => {
  const letters = async (): Promise<number> => redis.xlen(keys.deadLetters(SHARD));

  it.each(['online', 'offline'] as const)(
    'in place of an outbox is removed when a message is accepted, whose client is %s, and becomes a dead letter',
    async (state) => {
      await become(state);
      await redis.set(keys.outbox(SHARD, CLIENT), 'text');
      const { messageId } = await accepted();
      expect(await waiting()).toEqual([messageId]);
      expect(await letters()).toBe(1);
    },
  );

  it('in place of an outbox is in the way of no cancellation', async () => {
    await become('offline');
    const { messageId } = await accepted();
    await redis.set(keys.outbox(SHARD, CLIENT), 'text');
    expect(await messages.cancel(messageId)).toEqual({ kind: 'cancelled' });
    expect(await letters()).toBe(1);
  });

  it('is in the way of no listing and no reading', async () => {
    await become('online');
    const [unreadable, other] = [await accepted(), await accepted()];
    await redis.set(keys.message(SHARD, unreadable.messageId), 'text');
    expect(await messages.read(unreadable.messageId)).toBeUndefined();
    const idsOf = async (): Promise<string[]> =>
      (await messages.list(CLIENT, 10)).messages.map(({ messageId }) => messageId);
    expect(await idsOf()).toEqual([other.messageId]);
    expect(await heldCounts(redis, keys, SHARD, [CLIENT])).toEqual([0]);
    await redis.set(keys.outbox(SHARD, CLIENT), 'text');
    expect(await idsOf()).toEqual([other.messageId]);
    expect(await heldCounts(redis, keys, SHARD, [CLIENT])).toEqual([0]);
  });

  it('in place of the answer to an Idempotency-Key counts as none', async () => {
    await become('online');
    await redis.set(keys.idempotency(SHARD, CLIENT, 'k'), 'text');
    const first = await accepted({ idempotencyKey: 'k' });
    expect(await accept({ idempotencyKey: 'k' })).toMatchObject({ replayed: true, message: first });
  });
});

describe("listing a connection's messages", () => {
  async function walk(limit: number, status?: MessageStatus): Promise<string[][]> {
    const pages: string[][] = [];
    let cursor: number | undefined;
    do {
      const page = await messages.list(CLIENT, limit, status, cursor);
      pages.push(page.messages.map(({ messageId }) => messageId));
      cursor = page.next;
    } while (cursor !== undefined);
    return pages;
  }

  it('shows the newest first, in pages that neither miss nor repeat one', async () => {
    await become('offline');
    const many = new Messages(redis, keys, { ...LIMITS, outboxLimit: 100 });
    const ids = Array.from({ length: 25 }, () => many.mint(CLIENT));
    await many.accept(
      SHARD,
      ids.map((messageId) => ({ ...message(), messageId })),
    );
    const newest = ids.toReversed();
    expect(await walk(10)).toEqual([newest.slice(0, 10), newest.slice(10, 20), newest.slice(20)]);
    expect(await walk(25)).toEqual([newest]);
    expect(await walk(24)).toEqual([newest.slice(0, 24), newest.slice(24)]);
    expect((await messages.list(CLIENT, 1)).messages[0]).toEqual({
      ...(await messages.read(newest[0] ?? '')),
      status: 'held',
    });
  });

  it('continues after the end of the page, even if messages were added and removed between the pages', async () => {
    await become('offline');
    const [first, second, third] = [await accepted(), await accepted(), await accepted()];
    const page = await messages.list(CLIENT, 1);
    expect(page.messages.map(({ messageId }) => messageId)).toEqual([third.messageId]);
    await redis.zrem(keys.messages(SHARD, CLIENT), third.messageId, second.messageId);
    const rest = await messages.list(CLIENT, 10, undefined, page.next);
    expect(rest.messages.map(({ messageId }) => messageId)).toEqual([first.messageId]);
  });

  it('by status takes held and queued as they are derived', async () => {
    await become('offline');
    const [held, cancelled, other] = [await accepted(), await accepted(), await accepted()];
    await messages.cancel(cancelled.messageId);
    expect(await walk(10, 'held')).toEqual([[other.messageId, held.messageId]]);
    expect(await walk(1, 'held')).toEqual([[other.messageId], [held.messageId]]);
    expect(await walk(10, 'cancelled')).toEqual([[cancelled.messageId]]);
    expect(await walk(10, 'queued')).toEqual([[]]);
    await become('online');
    expect(await walk(10, 'held')).toEqual([[]]);
    expect(await walk(10, 'queued')).toEqual([[other.messageId, held.messageId]]);
  });

  it('ends a page early when histories are long, and shows each message once all the same', async () => {
    await become('offline');
    const many = new Messages(redis, keys, { ...LIMITS, outboxLimit: 1000 });
    const ids = Array.from({ length: 900 }, () => many.mint(CLIENT));
    await many.accept(
      SHARD,
      ids.map((messageId) => ({ ...message(), messageId })),
    );
    const history = Array.from({ length: 8 }, (_, i) => `queued ${i} ${'x'.repeat(1000)}`).join('\n');
    for (const id of ids) await redis.hset(keys.message(SHARD, id), 'history', history);
    const pages = await walk(1000);
    expect(pages.flat()).toEqual(ids.toReversed());
    expect(Math.max(...pages.map((page) => page.length))).toBeLessThanOrEqual(500);
  });

  it('looks at a thousand at most for one page by status, and says that there is more', async () => {
    await become('offline');
    const many = new Messages(redis, keys, { ...LIMITS, outboxLimit: 2000, shardLimit: 2000 });
    const ids = Array.from({ length: 1100 }, () => many.mint(CLIENT));
    await many.accept(
      SHARD,
      ids.map((messageId) => ({ ...message(), messageId })),
    );
    await many.cancel(ids[0] ?? '');
    const first = await many.list(CLIENT, 10, 'cancelled');
    expect(first.messages).toEqual([]);
    expect((await many.list(CLIENT, 10, 'cancelled', first.next)).messages).toMatchObject([{ messageId: ids[0] }]);
  });

  it('is empty for a client without messages', async () => {
    expect(await messages.list('nobody', 10)).toEqual({ messages: [] });
  });
});
