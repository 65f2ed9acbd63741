import fc from 'fast-check';
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import { withRedis } from '../../../test/support/redis.js';
import { eventually } from '../../../test/support/servers.js';
import { Draining } from '../../../test/support/draining.js';
import { acceptOne } from '../../../test/support/messages.js';
import { MESSAGE_BYTES, recountBytes } from './messages/byte-budget.js';
import { DueTodos } from './todos/due-work.js';
import { MESSAGE_STATUSES, STORED_STATUSES, TRANSITIONS, parseHistory, type StoredStatus } from './message-status.js';
import { Messages, type StoredMessage } from './messages/messages.js';
import { Outboxes, type Settlement } from './messages/outbox.js';
import { RegistryKeys } from './keys.js';

const SHARDS = 4;
const CLIENT = 'host-1';
const SHARD = shardOf(CLIENT, SHARDS);
const GRANT: Grant = { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' };

let redis: Redis;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

type Step =
  | { do: 'accept'; which: number; short: boolean; key: boolean }
  | { do: 'drain' }
  | { do: 'settle'; which: number; outcome: Settlement['outcome']; late: boolean }
  | { do: 'cancel'; which: number }
  | { do: 'client error'; which: number }
  | { do: 'expire' }
  | { do: 'become'; state: 'online' | 'offline' };

const COUNT = 3;
const which = fc.nat(COUNT - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('accept' as const),
      which,
      short: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      key: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      which,
      outcome: fc.constantFrom<Settlement['outcome']>('sent', 'failed', 'unheard', 'retry'),
      // By a drain whose message another one has claimed since.
      late: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('client error' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('become' as const), state: fc.constantFrom('online', 'offline') }),
  },
);

const FINAL: readonly StoredStatus[] = STORED_STATUSES.filter((status) => TRANSITIONS[status].length === 0);

/** A connection with a few messages, to which anything may happen. */
class World {
  readonly keys = new RegistryKeys(`status${keySpaces++}`);
  readonly messages = new Messages(redis, this.keys, {
    shardCount: SHARDS,
    outboxLimit: 100,
    shardLimit: 1000,
    retentionMs: 3_600_000,
  });
  readonly outboxes = new Outboxes(redis, this.keys, SHARDS);
  readonly draining = new Draining(redis, this.keys, this.outboxes, CLIENT, SHARDS);
  readonly due = new DueTodos(redis, this.keys);
  readonly ids = Array.from({ length: COUNT }, () => this.messages.mint(CLIENT));
  private readonly before = new Map<string, StoredMessage>();
  private readonly weights = new Map<string, number>();

  async begin(): Promise<void> {
    await redis.set(this.keys.owner(GRANT), GRANT.fence);
    await this.become('online');
  }

  async become(state: 'online' | 'offline'): Promise<void> {
    await redis
      .multi()
      .hset(this.keys.connections(SHARD), CLIENT, '{}')
      .zrem(this.keys.index(SHARD, state === 'online' ? 'offline' : 'online', 'host'), CLIENT)
      .zadd(this.keys.index(SHARD, state, 'host'), 0, CLIENT)
      .exec();
  }

  async accept(id: string, ttlMs: number, idempotencyKey?: string): Promise<void> {
    const payloadJson = JSON.stringify('x'.repeat(this.ids.indexOf(id) * 100));
    const keyBytes = idempotencyKey === undefined ? 0 : this.keys.idempotency(SHARD, CLIENT, idempotencyKey).length;
    if (!this.weights.has(id)) this.weights.set(id, MESSAGE_BYTES + 'd'.length + payloadJson.length + keyBytes);
    await acceptOne(this.messages, id, {
      clientId: CLIENT,
      directive: 'd',
      payloadJson,
      ttlMs,
      whenOffline: 'hold',
      idempotencyKey,
      requestId: 'r',
    });
  }

  async take(one: Step): Promise<void> {
    const id = 'which' in one ? (this.ids[one.which] ?? '') : '';
    switch (one.do) {
      case 'accept':
        return this.accept(id, one.short ? 3 : 600_000, one.key ? `key of ${id}` : undefined);
      case 'drain':
        await this.draining.claim();
        return;
      case 'settle':
        return this.settle(id, one.outcome, one.late);
      case 'cancel':
        await this.messages.cancel(id);
        return;
      case 'client error':
        await this.outboxes.failByClient(CLIENT, id, 'broken');
        return;
      case 'expire':
        return this.expire();
      case 'become':
        return this.become(one.state);
    }
  }

  private async settle(id: string, outcome: Settlement['outcome'], late: boolean): Promise<void> {
    const claims = Number((await redis.hget(this.keys.message(SHARD, id), 'attempts')) ?? 1);
    const attempt = late ? claims - 1 : claims;
    await this.draining.settle({ messageId: id, attempt, outcome, details: 'why' });
  }

  /** Lets the time of those run out that have a short one to live, then does what is due. */
  async expire(): Promise<void> {
    for (const id of this.ids) {
      const message = await this.messages.read(id);
      if (message === undefined || message.expiresAt > message.createdAt + 1000) continue;
      await eventually(async () => {
        const [seconds, micros] = await redis.time();
        expect(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)).toBeGreaterThan(message.expiresAt);
      });
    }
    await this.due.claim(GRANT);
  }

  async check(): Promise<void> {
    const outbox = await redis.lrange(this.keys.outbox(SHARD, CLIENT), 0, -1);
    const expiry = await redis.zrange(this.keys.expiry(SHARD), '0', '-1');
    expect(new Set(outbox).size).toBe(outbox.length);
    for (const id of this.ids) {
      const message = await this.messages.read(id);
      if (message === undefined) {
        expect(this.before.has(id)).toBe(false);
        expect(outbox).not.toContain(id);
        continue;
      }
      this.checkHistory(message);
      await this.checkEvents(message);
      const status = message.status === 'held' ? 'queued' : message.status;
      if (status === 'queued' || status === 'in_flight') {
        expect(outbox).toContain(id);
        expect(expiry).toContain(id);
      } else if (status !== 'failed') {
        // One that the client failed in flight leaves with its settlement.
        expect(outbox).not.toContain(id);
      }
      this.before.set(id, message);
    }
    await this.checkTimesToLive();
    await this.checkBytes();
  }

  /** What is unfinished is charged, and nothing else; a recount finds the same. */
  private async checkBytes(): Promise<void> {
    const unfinished = [...this.before.values()].filter(({ status }) =>
      ['queued', 'held', 'in_flight'].includes(status),
    );
    const bytes = unfinished.reduce((sum, { messageId }) => sum + (this.weights.get(messageId) ?? NaN), 0);
    const expected = bytes === 0 ? {} : { '': `${bytes}`, unknown: `${bytes}`, [`client:${CLIENT}`]: `${bytes}` };
    expect(await redis.hgetall(this.keys.outboxBytes(SHARD))).toEqual(expected);
    await recountBytes(redis, this.keys, GRANT);
    expect(await redis.hgetall(this.keys.outboxBytes(SHARD))).toEqual(expected);
  }

  private checkHistory({ messageId, status, history, createdAt }: StoredMessage): void {
    const moves = history.map((change) => change.status);
    expect(moves[0]).toBe('queued');
    expect(history[0]?.at).toBe(createdAt);
    expect(moves.at(-1)).toBe(status === 'held' ? 'queued' : status);
    moves.slice(1).forEach((to, i) => expect(TRANSITIONS[moves[i] ?? 'failed']).toContain(to));
    history.slice(1).forEach((change, i) => expect(change.at).toBeGreaterThanOrEqual(history[i]?.at ?? Infinity));
    const before = this.before.get(messageId);
    if (before === undefined) return;
    expect(history.slice(0, before.history.length)).toEqual(before.history);
    const last = before.history.at(-1)?.status ?? 'queued';
    if (FINAL.includes(last)) expect(history).toEqual(before.history);
  }

  /** Each change is published once, in order, by the script that makes it. */
  private async checkEvents(message: StoredMessage): Promise<void> {
    const told = await messageEvents(this.keys, message.messageId);
    expect(told.map(({ client_id }) => client_id)).toEqual(told.map(() => CLIENT));
    // `held` is what callers are shown of a queued message.
    const statuses = told.map(({ status }) => (status === 'held' ? 'queued' : status));
    expect(statuses).toEqual(message.history.map(({ status }) => status));
    expect(told.map(({ details }) => details)).toEqual(message.history.map(({ details }) => details));
  }

  /** Nothing is kept for ever: a message either waits for its expiry or to be forgotten, or its key has an expiry. */
  private async checkTimesToLive(): Promise<void> {
    const found = await redis.keys(`${this.keys.shard(SHARD)}:idempotency:*`);
    for (const key of found) expect(await redis.pttl(key)).toBeGreaterThan(0);
    const kept = await redis.zrange(this.keys.messages(SHARD, CLIENT), '0', '-1');
    const waiting = await redis.zrange(this.keys.expiry(SHARD), '0', '-1');
    const finished = await redis.zrange(this.keys.finished(SHARD), '0', '-1');
    expect([...waiting, ...finished].sort()).toEqual([...kept].sort());
    expect(kept.toSorted()).toEqual([...this.before.keys()].sort());
  }
}

interface MessageEvent {
  client_id: string;
  message_id: string;
  status: string;
  details?: string;
}

async function messageEvents(keys: RegistryKeys, id: string): Promise<MessageEvent[]> {
  const entries = await redis.xrange(keys.events(SHARD), '-', '+');
  const events = entries.map(([, fields]) => JSON.parse(fields[3] ?? '') as MessageEvent & { type: string });
  return events.filter(({ type, message_id }) => type === 'message.status' && message_id === id);
}

describe('the statuses of a message', () => {
  it('have a row each in the table of transitions, which leads to stored statuses only', () => {
    expect(Object.keys(TRANSITIONS).sort()).toEqual([...STORED_STATUSES].sort());
    for (const targets of Object.values(TRANSITIONS)) for (const to of targets) expect(STORED_STATUSES).toContain(to);
    expect(FINAL).toEqual(['failed', 'expired', 'cancelled']);
    expect([...MESSAGE_STATUSES].sort()).toEqual([...STORED_STATUSES, 'held'].sort());
  });

  it('only ever move along the table, end for good, and stay in the outbox until then, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const world = new World();
        await world.begin();
        // The first one is there from the start, so that no step is wasted on nothing.
        await world.accept(world.ids[0] ?? '', 600_000);
        for (const one of steps) {
          await world.take(one);
          await world.check();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('every message reaches a final status when all publish results are completed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const world = new World();
        await world.begin();
        for (const one of steps) await world.take(one);
        await world.become('online');
        let next = await world.draining.claim();
        for (let i = 0; next.kind === 'claimed' && i < 2 * COUNT; i++) {
          next = await world.draining.settle({ ...next.message, outcome: 'sent' });
        }
        expect(next).toEqual({ kind: 'empty' });
        for (const id of world.ids) {
          const status = (await world.messages.read(id))?.status ?? 'sent';
          expect(['sent', ...FINAL]).toContain(status);
        }
        // Nothing is left for anybody to do.
        await world.expire();
        const left = [world.keys.outbox(SHARD, CLIENT), world.keys.todo(SHARD), world.keys.expiry(SHARD)];
        expect(await redis.exists(...left)).toBe(0);
        await world.check();
      }),
      { numRuns: 30 },
    );
  });
});

describe('the history of a message', () => {
  it('stays bounded after 500 retries, begins with the acceptance and ends with what happened last', async () => {
    const world = new World();
    await world.begin();
    const id = world.ids[0] ?? '';
    await world.accept(id, 3_600_000);
    let longest = 0;
    for (let i = 0; i < 500; i++) {
      const attempt = i + 1;
      await world.draining.claim();
      const details = `try ${i} ${'x'.repeat((i * 37) % 6000)}`;
      await world.draining.settle({ messageId: id, attempt, outcome: 'retry', details });
      longest = Math.max(longest, await redis.hstrlen(world.keys.message(SHARD, id), 'history'));
    }
    expect(longest).toBeLessThan(16_384);
    const message = await world.messages.read(id);
    const history = message?.history ?? [];
    expect(history[0]).toEqual({ status: 'queued', at: message?.createdAt });
    expect(history.at(-1)?.details).toMatch(/^try 499 x*$/);
    for (const { status, at } of history) {
      expect(['queued', 'in_flight']).toContain(status);
      expect(at).toBeGreaterThanOrEqual(message?.createdAt ?? Infinity);
    }
    // Behind the cut it is without a gap again.
    const moves = history.slice(1).map(({ status }) => status);
    moves.slice(1).forEach((to, i) => expect(TRANSITIONS[moves[i] ?? 'failed']).toContain(to));
    expect(moves.length).toBeGreaterThan(2);
  });

  it('is read with details that contain spaces', () => {
    expect(parseHistory('queued 1\nin_flight 22\nfailed 333 no  such worker ')).toEqual([
      { status: 'queued', at: 1 },
      { status: 'in_flight', at: 22 },
      { status: 'failed', at: 333, details: 'no  such worker ' },
    ]);
  });
});
