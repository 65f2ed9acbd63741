import fc from 'fast-check';
import type { Redis } from '@app/platform';
import { CLIENT, GRANT, MessageBench, SHARD } from '../../../../test/support/message-bench.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { changeStoredMessage, storeFormerMessage, storedMessage } from '../../../../test/support/stored-message.js';
import { DueTodos } from '../todos/due-work.js';
import { FINISHED_MESSAGE_BYTES } from './byte-budget.js';
import { formerFinished, type FinishedLimits } from './finished-messages.js';
import type { MessageLimits } from './messages.js';

const ROOMY: FinishedLimits = { count: 1_000_000, bytes: 1_000_000_000 };

let redis: Redis;
let bench: MessageBench;
let ended: string[];

withRedis((connection) => (redis = connection));

beforeEach(() => begin());

async function begin(limits: Partial<MessageLimits> = {}): Promise<void> {
  bench = new MessageBench(redis, limits);
  ended = [];
  await bench.own();
  await bench.become('online');
}

async function accept(payer = 'key:1', idempotencyKey?: string, directive = 'd'): Promise<string> {
  const message = bench.minted({ directive, payloadJson: undefined, idempotencyKey });
  const { outcomes } = await bench.messages.accept(SHARD, [message], undefined, { payer });
  const [id] = outcomes.flatMap((outcome) => (outcome.kind === 'accepted' ? [outcome.message.messageId] : []));
  if (id === undefined) throw new Error('the message was not accepted');
  return id;
}

/** Accepts a message and finishes it. Each message finishes a millisecond after the previous one. */
async function finish(payer?: string, idempotencyKey?: string, directive?: string): Promise<string> {
  const id = await accept(payer, idempotencyKey, directive);
  expect(await bench.messages.cancel(id)).toEqual({ kind: 'cancelled' });
  await postpone(id, ended.length);
  ended.push(id);
  return id;
}

async function weightOf(...ids: string[]): Promise<number> {
  const stored = await Promise.all(ids.map((id) => storedMessage(bench.redis, bench.keys.message(SHARD, id))));
  return stored.reduce((sum, { bytes }) => sum + Number(bytes), 0);
}

/** The messages that are forgotten early under these limits. */
async function forgottenUnder(limits: Partial<FinishedLimits>): Promise<string[]> {
  const before = await kept();
  const due = new DueTodos(bench.redis, bench.keys, () => ({ ...ROOMY, ...limits }));
  let counted = 0;
  for (let more = true; more;) {
    const work = await due.claim(GRANT);
    counted += work.forgottenEarly;
    more = work.more;
  }
  const after = await kept();
  const gone = before.filter((id) => !after.includes(id));
  expect(counted).toBe(gone.length);
  return gone;
}

/** The messages that can still be read, in the order in which they finished. */
async function kept(): Promise<string[]> {
  const read = await Promise.all(ended.map((id) => bench.messages.read(id)));
  return ended.filter((_, i) => read[i] !== undefined);
}

async function counted(): Promise<Record<string, number>> {
  const flat = await bench.redis.zrange(bench.keys.finishedBytes(SHARD), '0', '-1', 'WITHSCORES');
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])]] : [])));
}

/** Keeps a finished message for some more milliseconds. */
async function postpone(id: string, ms: number): Promise<void> {
  const key = bench.keys.message(SHARD, id);
  const { kept } = await storedMessage(bench.redis, key);
  await changeStoredMessage(bench.redis, key, { kept: `${Number(kept) + ms}` });
  for (const [list, [first]] of await bench.finishedLists())
    if (first === id) await bench.redis.zincrby(bench.keys.finishedDue(SHARD), ms, list);
}

async function endAllRetentions(): Promise<void> {
  await bench.endRetention(...[...(await bench.finishedLists()).values()].flat());
}

async function nothingIsLeft(): Promise<void> {
  const left = await bench.redis.keys(`${bench.keys.prefix}*`);
  expect(left.filter((key) => /message|finished|idempotency/.test(key))).toEqual([]);
}

describe('finished messages of a shard', () => {
  it('are forgotten early if the shard has too many, the oldest first', async () => {
    for (let i = 0; i < 5; i++) await finish();
    expect(await forgottenUnder({ count: 2 })).toEqual(ended.slice(0, 3));
    expect(await forgottenUnder({ count: 2 })).toEqual([]);
  });

  it('are forgotten early if they have too many bytes, the oldest first, until the others fit', async () => {
    for (const directive of ['small', 'x'.repeat(200), 'small', 'small']) await finish('key:1', undefined, directive);
    expect(await forgottenUnder({ bytes: await weightOf(...ended.slice(2)) })).toEqual(ended.slice(0, 2));
  });

  it('are forgotten first if their payer has the most, its oldest first, and those of other payers stay', async () => {
    const others = [await finish('account:a'), await finish('account:b')];
    const greedy: string[] = [];
    for (let i = 0; i < 20; i++) greedy.push(await finish('key:greedy'));
    others.push(await finish('account:a'));
    expect(await forgottenUnder({ count: 12 })).toEqual(greedy.slice(0, 11));
    expect(await kept()).toEqual([...others.slice(0, 2), ...greedy.slice(11), others[2]]);
  });

  it('of a payer with at most an eighth are forgotten early if they are the oldest', async () => {
    for (let i = 0; i < 32; i++) await finish(`account:${i % 16}`);
    expect(await forgottenUnder({ count: 29 })).toEqual(ended.slice(0, 3));
  });

  it('are bounded in number, even if more are due than one call forgets', async () => {
    for (let i = 0; i < 450; i++) await finish(i % 3 === 0 ? 'key:1' : 'key:2');
    expect(await forgottenUnder({ count: 10 })).toHaveLength(440);
    expect((await counted())['']).toBe(await weightOf(...(await kept())));
  });

  it('of 0.1.0 are listed and counted by and by, and kept until their retention ends', async () => {
    const former = formerFinished(bench.keys, SHARD);
    for (let i = 0; i < 120; i++) {
      const id = await finish();
      await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id));
      await bench.redis.zadd(former, Date.now() + 60_000 + i, id);
    }
    await bench.redis.zadd(former, Date.now(), 'not stored');
    const lists = (await bench.redis.keys(`${bench.keys.prefix}*`)).filter((key) => /finished-/.test(key));
    await bench.redis.del(...lists);
    const due = new DueTodos(bench.redis, bench.keys);
    expect(await due.findFinished([GRANT])).toEqual([GRANT]);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 0, more: true });
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 0, more: false });
    expect(await bench.redis.exists(former)).toBe(0);
    expect(await bench.finishedLists()).toEqual(new Map([['unknown', ended]]));
    expect(await bench.redis.get(bench.keys.finishedCount(SHARD))).toBe('120');
    expect((await bench.messages.read(ended[0] ?? ''))?.status).toBe('cancelled');
    expect((await counted())['unknown']).toBeGreaterThan(120 * FINISHED_MESSAGE_BYTES);
    expect(await forgottenUnder({ count: 20 })).toEqual(ended.slice(0, 100));
    expect(await forgottenUnder({ count: 0 })).toHaveLength(20);
    await nothingIsLeft();
  });

  it('of 0.1.0 are listed also if they have changed before', async () => {
    const id = await accept();
    await bench.takeOver();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id));
    const lists = (await bench.redis.keys(`${bench.keys.prefix}*`)).filter((key) => /finished-/.test(key));
    await bench.redis.del(...lists);
    await bench.redis.zadd(formerFinished(bench.keys, SHARD), Date.now() + 60_000, id);
    expect(await bench.outboxes.failByClient(CLIENT, id, 'cannot be done')).toBe('failed');
    await new DueTodos(bench.redis, bench.keys).claim(GRANT);
    expect(await bench.redis.exists(formerFinished(bench.keys, SHARD))).toBe(0);
    expect(await bench.finishedLists()).toEqual(new Map([['unknown', [id]]]));
    expect((await bench.messages.read(id))?.status).toBe('failed');
  });

  it.each([
    ['key:1', 'long', 'd'],
    ['key:2', 'd', 'long'],
  ])('stay bounded if records and lists are lost, and %s has more bytes', async (_, one, two) => {
    for (let i = 0; i < 3; i++) {
      await finish('key:1', undefined, one);
      await finish('key:2', undefined, two);
    }
    await bench.redis.del(bench.keys.message(SHARD, ended[0] ?? ''), bench.keys.finishedOf(SHARD, 'key:2'));
    await new DueTodos(bench.redis, bench.keys, () => ({ ...ROOMY, count: 4 })).claim(GRANT);
    expect((await bench.finishedLists()).get('key:1')).toHaveLength(1);
    await bench.redis.del(bench.keys.finishedOf(SHARD, 'key:1'));
    await new DueTodos(bench.redis, bench.keys, () => ({ ...ROOMY, bytes: 0 })).claim(GRANT);
    expect(await counted()).toEqual({});
    expect(await bench.redis.exists(bench.keys.finishedCount(SHARD))).toBe(0);
  });

  it('leave no key behind when their retentions have ended, in any order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 9 })), { maxLength: 12 }),
        async (ends) => {
          await begin();
          for (const [payer] of ends) await finish(`key:${payer}`, payer === 0 ? `k${ended.length}` : undefined);
          for (const [i, [, rank]] of ends.entries()) await postpone(ended[i] ?? '', rank);
          await forgottenUnder({ count: 4 });
          expect((await counted())[''] ?? 0).toBe(await weightOf(...(await kept())));
          await endAllRetentions();
          await new DueTodos(bench.redis, bench.keys).claim(GRANT);
          await new DueTodos(bench.redis, bench.keys, () => ({ ...ROOMY, bytes: 0 })).claim(GRANT);
          await nothingIsLeft();
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('a finished message', () => {
  it('is counted once, with its whole history, even if the client reports an error later', async () => {
    const id = await accept();
    await bench.takeOver();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    const sent = await weightOf(id);
    const historyBytes = async (): Promise<number> =>
      (await storedMessage(bench.redis, bench.keys.message(SHARD, id)))['history']?.length ?? 0;
    const before = await historyBytes();
    await bench.outboxes.failByClient(CLIENT, id, 'x'.repeat(500));
    const grown = (await historyBytes()) - before;
    expect(grown).toBeGreaterThan(500);
    expect(await weightOf(id)).toBe(sent + grown);
    expect(await counted()).toEqual({ '': sent + grown, 'key:1': sent + grown });
    expect(await bench.redis.lrange(bench.keys.finishedOf(SHARD, 'key:1'), 0, -1)).toEqual([id]);
    await endAllRetentions();
    await forgottenUnder({});
    await nothingIsLeft();
  });

  it.each([false, true])(
    'is counted with about the bytes that it takes in Redis (Idempotency-Key: %s)',
    async (named) => {
      const used = async (): Promise<number> => {
        await bench.redis.xtrim(bench.keys.events(SHARD), 'MAXLEN', 0);
        return Number(/^used_memory_dataset:(\d+)/m.exec(await bench.redis.info('memory'))?.[1]);
      };
      const finishMany = async (what: string): Promise<void> => {
        for (let n = 0; n < 600; n++) await finish('account:acme', named ? `${what}-${n}` : undefined);
      };
      await finishMany('warm');
      const [before, weighedBefore] = [await used(), (await counted())[''] ?? 0];
      await finishMany('job');
      const taken = (await used()) - before;
      const weighed = ((await counted())[''] ?? 0) - weighedBefore;
      expect(weighed / taken).toBeGreaterThan(0.7);
      expect(weighed / taken).toBeLessThan(1.4);
    },
  );
});

describe('the answer to an Idempotency-Key', () => {
  it('is kept for its own retention', async () => {
    await begin({ idempotencyMs: 90_000 });
    await finish('key:1', 'k');
    const left = await bench.redis.pttl(bench.keys.idempotency(SHARD, CLIENT, 'k'));
    expect(left).toBeLessThanOrEqual(90_000);
    expect(left).toBeGreaterThan(60_000);
  });

  it('is forgotten with its message if that is forgotten early', async () => {
    const before = await finish('key:1', 'k');
    expect(await accept('key:1', 'k')).toBe(before);
    await finish();
    expect(await forgottenUnder({ count: 1 })).toEqual([before]);
    expect(await bench.redis.exists(bench.keys.idempotency(SHARD, CLIENT, 'k'))).toBe(0);
    expect(await accept('key:1', 'k')).not.toBe(before);
  });

  it('stays if it belongs to a later message', async () => {
    await finish('key:1', 'k');
    await bench.redis.del(bench.keys.idempotency(SHARD, CLIENT, 'k'));
    const later = await accept('key:1', 'k');
    await forgottenUnder({ count: 0 });
    expect(await accept('key:1', 'k')).toBe(later);
  });

  it('outlives its message if its retention is longer, and stays counted and bounded', async () => {
    const id = await finish('key:1', 'k');
    const weight = await weightOf(id);
    await endAllRetentions();
    const due = new DueTodos(bench.redis, bench.keys);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 1 });
    expect(await bench.messages.read(id)).toBeUndefined();
    expect((await bench.messages.list(CLIENT, 10)).messages).toEqual([]);
    expect(await accept('key:1', 'k')).toBe(id);
    expect(await counted()).toEqual({ '': weight, 'key:1': weight });
    expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('unknown');

    const few = new DueTodos(bench.redis, bench.keys, () => ({ ...ROOMY, count: 0 }));
    expect(await few.claim(GRANT)).toMatchObject({ forgottenEarly: 1 });
    await nothingIsLeft();
  });

  it('leaves no key behind if it expires after its message', async () => {
    await begin({ idempotencyMs: 60_000 });
    const id = await finish('key:1', 'k');
    await endAllRetentions();
    const due = new DueTodos(bench.redis, bench.keys);
    await due.claim(GRANT);
    expect(await bench.redis.exists(bench.keys.message(SHARD, id))).toBe(1);
    await bench.redis.pexpire(bench.keys.idempotency(SHARD, CLIENT, 'k'), 1);
    await eventually('the answer has expired', async () =>
      expect(await bench.redis.exists(bench.keys.idempotency(SHARD, CLIENT, 'k'))).toBe(0),
    );
    await endAllRetentions();
    await due.claim(GRANT);
    await nothingIsLeft();
  });
});
