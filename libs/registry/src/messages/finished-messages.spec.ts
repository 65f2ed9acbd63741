import fc from 'fast-check';
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import { Draining } from '../../../../test/support/draining.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { DueTodos } from '../todos/due-work.js';
import type { FinishedLimits } from './finished-messages.js';
import { Messages, type MessageLimits } from './messages.js';
import { Outboxes } from './outbox.js';
import { RegistryKeys } from '../keys.js';

const SHARD = 0;
const CLIENT = 'host-1';
const GRANT: Grant = { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' };
const ROOMY: FinishedLimits = { count: 1_000_000, bytes: 1_000_000_000 };

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let keySpaces = 0;
let ended: string[];

withRedis((connection) => (redis = connection));

beforeEach(begin);

async function begin(): Promise<void> {
  keys = new RegistryKeys(`kept${keySpaces++}`);
  ended = [];
  keep();
  await redis.set(keys.owner(GRANT), GRANT.fence);
  await redis.hset(keys.connections(SHARD), CLIENT, '{}');
  await redis.zadd(keys.index(SHARD, 'online', 'host'), 0, CLIENT);
}

function keep(limits: Partial<MessageLimits> = {}): void {
  const roomy = { shardCount: 1, outboxLimit: 1000, shardLimit: 1000, retentionMs: 3_600_000 };
  messages = new Messages(redis, keys, { ...roomy, ...limits });
}

async function accept(payer = 'key:1', idempotencyKey?: string, directive = 'd'): Promise<string> {
  const [id] = await acceptAs(payer, idempotencyKey, directive);
  if (id === undefined) throw new Error('not accepted');
  return id;
}

async function acceptAs(payer: string, idempotencyKey: string | undefined, directive: string): Promise<string[]> {
  const fixed = { clientId: CLIENT, payloadJson: undefined, ttlMs: 600_000, requestId: 'r' };
  const messageId = messages.mint(CLIENT);
  const wanted = { ...fixed, messageId, directive, whenOffline: 'hold' as const, idempotencyKey };
  const { outcomes } = await messages.accept(shardOf(CLIENT, 1), [wanted], undefined, { payer });
  return outcomes.flatMap((outcome) => (outcome.kind === 'accepted' ? [outcome.message.messageId] : []));
}

/** Accepts a message and brings it to its end. Each ends a millisecond after the one before. */
async function finish(payer?: string, idempotencyKey?: string, directive?: string): Promise<string> {
  const id = await accept(payer, idempotencyKey, directive);
  expect(await messages.cancel(id)).toEqual({ kind: 'cancelled' });
  await redis.zincrby(keys.finished(SHARD), ended.length, id);
  ended.push(id);
  return id;
}

async function weightOf(...ids: string[]): Promise<number> {
  const costs = await Promise.all(ids.map((id) => redis.hget(keys.message(SHARD, id), 'cost')));
  return costs.reduce((sum, cost) => sum + Number(/^\d+/.exec(cost ?? '')?.[0] ?? 0), 0);
}

/** What is forgotten before its time under these limits. */
async function forgottenUnder(limits: Partial<FinishedLimits>): Promise<string[]> {
  const before = await kept();
  const due = new DueTodos(redis, keys, () => ({ ...ROOMY, ...limits }));
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

/** Those of the messages so far that can still be read, in the order of their ends. */
async function kept(): Promise<string[]> {
  const read = await Promise.all(ended.map((id) => messages.read(id)));
  return ended.filter((_, i) => read[i] !== undefined);
}

async function counted(): Promise<Record<string, number>> {
  const flat = await redis.zrange(keys.finishedBytes(SHARD), '0', '-1', 'WITHSCORES');
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])]] : [])));
}

async function runOutAll(): Promise<void> {
  for (const id of await redis.zrange(keys.finished(SHARD), '0', '-1')) await redis.zadd(keys.finished(SHARD), 1, id);
}

async function nothingIsLeft(): Promise<void> {
  const left = await redis.keys(`${keys.prefix}*`);
  expect(left.filter((key) => /message|finished|idempotency/.test(key))).toEqual([]);
}

describe('finished messages of a shard', () => {
  it('past their count are forgotten before their time, the oldest first', async () => {
    for (let i = 0; i < 5; i++) await finish();
    expect(await forgottenUnder({ count: 2 })).toEqual(ended.slice(0, 3));
    expect(await forgottenUnder({ count: 2 })).toEqual([]);
  });

  it('past their bytes are forgotten before their time, the oldest first, until they fit', async () => {
    for (const directive of ['small', 'x'.repeat(200), 'small', 'small']) await finish('key:1', undefined, directive);
    expect(await forgottenUnder({ bytes: await weightOf(...ended.slice(2)) })).toEqual(ended.slice(0, 2));
  });

  it('of the payer that has most of them go first, its own oldest, and those of others stay', async () => {
    const others = [await finish('account:a'), await finish('account:b')];
    const greedy: string[] = [];
    for (let i = 0; i < 20; i++) greedy.push(await finish('key:greedy'));
    others.push(await finish('account:a'));
    expect(await forgottenUnder({ count: 12 })).toEqual(greedy.slice(0, 11));
    expect(await kept()).toEqual([...others.slice(0, 2), ...greedy.slice(11), others[2]]);
  });

  it('of a payer with no more than an eighth stay only if they are not the oldest', async () => {
    for (let i = 0; i < 32; i++) await finish(`account:${i % 16}`);
    expect(await forgottenUnder({ count: 29 })).toEqual(ended.slice(0, 3));
  });

  it('in their number are bounded also if there are more than one call forgets', async () => {
    for (let i = 0; i < 450; i++) await finish(i % 3 === 0 ? 'key:1' : 'key:2');
    expect(await forgottenUnder({ count: 10 })).toHaveLength(440);
    expect((await counted())['']).toBe(await weightOf(...(await kept())));
  });

  it('that 0.1.0 finished are not counted and go first', async () => {
    await finish();
    const old = await finish();
    await redis.hdel(keys.message(SHARD, old), 'cost');
    await redis.zadd(keys.finished(SHARD), Date.now() + 600_000, old);
    await finish();
    expect(await forgottenUnder({ count: 2 })).toEqual([old]);
  });

  it('go on being bounded if records and lists are lost', async () => {
    for (let i = 0; i < 6; i++) await finish(i % 2 === 0 ? 'key:1' : 'key:2');
    await redis.del(keys.message(SHARD, ended[0] ?? ''), keys.finishedOf(SHARD, 'key:2'));
    await new DueTodos(redis, keys, () => ({ ...ROOMY, count: 2 })).claim(GRANT);
    expect(await redis.zcard(keys.finished(SHARD))).toBe(2);
    await redis.del(keys.finished(SHARD));
    await new DueTodos(redis, keys, () => ({ ...ROOMY, bytes: 0 })).claim(GRANT);
    expect(await counted()).toEqual({});
  });

  it('leave nothing behind when their retention has ended, in whatever order it does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 9 })), { maxLength: 12 }),
        async (ends) => {
          await begin();
          for (const [payer] of ends) await finish(`key:${payer}`, payer === 0 ? `k${ended.length}` : undefined);
          const base = Date.now() + 3_600_000;
          for (const [i, [, rank]] of ends.entries()) {
            await redis.zadd(keys.finished(SHARD), base + rank, ended[i] ?? '');
          }
          await forgottenUnder({ count: 4 });
          expect((await counted())[''] ?? 0).toBe(await weightOf(...(await kept())));
          await runOutAll();
          await new DueTodos(redis, keys).claim(GRANT);
          await new DueTodos(redis, keys, () => ({ ...ROOMY, bytes: 0 })).claim(GRANT);
          await nothingIsLeft();
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('a finished message', () => {
  it('is counted once, with all of its history, also when the client says later that it failed', async () => {
    const id = await accept();
    const outboxes = new Outboxes(redis, keys, 1);
    await new Draining(redis, keys, outboxes, CLIENT, 1).claim();
    await outboxes.step(SHARD, {
      ...{ run: undefined, underWay: 0, room: 0 },
      settlements: [{ clientId: CLIENT, messageId: id, attempt: 1, outcome: 'sent' }],
    });
    const sent = await weightOf(id);
    const { length } = (await redis.hget(keys.message(SHARD, id), 'history')) ?? '';
    await outboxes.failByClient(CLIENT, id, 'x'.repeat(500));
    const grown = ((await redis.hget(keys.message(SHARD, id), 'history')) ?? '').length - length;
    expect(grown).toBeGreaterThan(500);
    expect(await weightOf(id)).toBe(sent + grown);
    expect(await counted()).toEqual({ '': sent + grown, 'key:1': sent + grown });
    expect(await redis.lrange(keys.finishedOf(SHARD, 'key:1'), 0, -1)).toEqual([id]);
    await runOutAll();
    await forgottenUnder({});
    await nothingIsLeft();
  });

  it.each([false, true])('weighs about what it takes in Redis; with an Idempotency-Key: %s', async (named) => {
    const used = async (): Promise<number> => {
      await redis.xtrim(keys.events(SHARD), 'MAXLEN', 0);
      return Number(/^used_memory_dataset:(\d+)/m.exec(await redis.info('memory'))?.[1]);
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
  });
});

describe('the answer to an Idempotency-Key', () => {
  it('is kept for its own retention, whatever it is set to', async () => {
    keep({ idempotencyMs: 90_000 });
    await finish('key:1', 'k');
    const left = await redis.pttl(keys.idempotency(SHARD, CLIENT, 'k'));
    expect(left).toBeLessThanOrEqual(90_000);
    expect(left).toBeGreaterThan(60_000);
  });

  it('goes with its message if that is forgotten before its time', async () => {
    const before = await finish('key:1', 'k');
    expect(await accept('key:1', 'k')).toBe(before);
    await finish();
    expect(await forgottenUnder({ count: 1 })).toEqual([before]);
    expect(await redis.exists(keys.idempotency(SHARD, CLIENT, 'k'))).toBe(0);
    expect(await accept('key:1', 'k')).not.toBe(before);
  });

  it('stays if it belongs to a later message by then', async () => {
    await finish('key:1', 'k');
    await redis.del(keys.idempotency(SHARD, CLIENT, 'k'));
    const later = await accept('key:1', 'k');
    await forgottenUnder({ count: 0 });
    expect(await accept('key:1', 'k')).toBe(later);
  });

  it('outlives its message if it is kept for longer, and is counted and bounded until then', async () => {
    const id = await finish('key:1', 'k');
    const weight = await weightOf(id);
    await runOutAll();
    const due = new DueTodos(redis, keys);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 1 });
    expect(await messages.read(id)).toBeUndefined();
    expect((await messages.list(CLIENT, 10)).messages).toEqual([]);
    expect(await accept('key:1', 'k')).toBe(id);
    expect(await counted()).toEqual({ '': weight, 'key:1': weight });
    expect(await new Outboxes(redis, keys, 1).failByClient(CLIENT, id, 'x')).toBe('unknown');

    const few = new DueTodos(redis, keys, () => ({ ...ROOMY, count: 0 }));
    expect(await few.claim(GRANT)).toMatchObject({ forgottenEarly: 1 });
    await nothingIsLeft();
  });

  it('leaves nothing behind when it has run out after its message', async () => {
    keep({ idempotencyMs: 50 });
    const id = await finish('key:1', 'k');
    await redis.pexpire(keys.idempotency(SHARD, CLIENT, 'k'), 60_000);
    await runOutAll();
    const due = new DueTodos(redis, keys);
    await due.claim(GRANT);
    expect(await redis.exists(keys.message(SHARD, id))).toBe(1);
    await redis.pexpire(keys.idempotency(SHARD, CLIENT, 'k'), 1);
    await eventually(async () => expect(await redis.exists(keys.idempotency(SHARD, CLIENT, 'k'))).toBe(0));
    await runOutAll();
    await due.claim(GRANT);
    await nothingIsLeft();
  });
});
