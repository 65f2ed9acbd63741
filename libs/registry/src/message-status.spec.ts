import fc from 'fast-check';
import type { Redis } from '@app/platform';
import { CLIENT, GRANT, MessageBench, SHARD, type Served } from '../../../test/support/message-bench.js';
import { withRedis } from '../../../test/support/redis.js';
import { eventsOfEntry } from './events/stored-event.js';
import { AWAITING_MESSAGE_BYTES, MESSAGE_BYTES, recountBytes } from './messages/byte-budget.js';
import { DueTodos } from './todos/due-work.js';
import { storedMessage } from '../../../test/support/stored-message.js';
import { MESSAGE_STATUSES, STORED_STATUSES, TRANSITIONS, type StoredStatus } from './message-status.js';
import type { StoredMessage } from './messages/messages.js';
import type { ClaimedMessage, PublishResult } from './messages/outbound-work.js';
import type { RegistryKeys } from './keys.js';

let redis: Redis;

withRedis((connection) => (redis = connection));

type Outcome = Exclude<PublishResult['outcome'], 'unwritten'>;

type Step =
  | { do: 'accept'; which: number; short: boolean; key: boolean; owned: boolean; awaits: boolean }
  | { do: 'take over' }
  | { do: 'complete'; which: number; outcome: Outcome; late: boolean }
  | { do: 'complete what is held'; outcome: Outcome | 'unwritten'; stops: boolean }
  | { do: 'cancel'; which: number }
  | { do: 'client error'; which: number }
  | { do: 'expire' }
  | { do: 'pass the response deadlines' }
  | { do: 'become'; state: 'online' | 'offline' };

const COUNT = 3;
const RESPONSE_TIMEOUT_MS = 600_000;
const which = fc.nat(COUNT - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('accept' as const),
      which,
      short: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      key: fc.boolean(),
      // Whether a dispatcher owns the outbound side, so that the message may be claimed at once.
      owned: fc.boolean(),
      awaits: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('take over' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('complete' as const),
      which,
      outcome: fc.constantFrom<Outcome>('sent', 'failed', 'no-subscribers', 'retry'),
      // Whether the message has been claimed again.
      late: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('complete what is held' as const),
      outcome: fc.oneof(
        { weight: 4, arbitrary: fc.constant('sent' as const) },
        {
          weight: 1,
          arbitrary: fc.constantFrom<Outcome | 'unwritten'>('failed', 'no-subscribers', 'retry', 'unwritten'),
        },
      ),
      // Whether the owner leaves the connection, although it holds further messages.
      stops: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('client error' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass the response deadlines' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('become' as const), state: fc.constantFrom('online', 'offline') }),
  },
);

/** In this order messages are in an outbox. */
const ORDER = ['published', 'ahead', 'waiting'];

const FINAL: readonly StoredStatus[] = STORED_STATUSES.filter((status) => TRANSITIONS[status].length === 0);

/** A connection with a few messages, to which random steps are applied. */
class World {
  readonly bench = new MessageBench(redis);
  readonly keys = this.bench.keys;
  readonly messages = this.bench.messages;
  readonly due = new DueTodos(redis, this.keys);
  readonly ids = Array.from({ length: COUNT }, () => this.messages.mint(CLIENT));
  private readonly before = new Map<string, StoredMessage>();
  private readonly weights = new Map<string, number>();
  /** What the owner has claimed: it publishes the first one. */
  private held: ClaimedMessage[] = [];

  async begin(): Promise<void> {
    await this.bench.own();
    await this.bench.become('online');
  }

  async accept(
    id: string,
    ttlMs: number,
    {
      idempotencyKey,
      owned = false,
      awaits = false,
    }: { idempotencyKey?: string; owned?: boolean; awaits?: boolean } = {},
  ): Promise<void> {
    const payloadJson = JSON.stringify('x'.repeat(this.ids.indexOf(id) * 100));
    const keyBytes = idempotencyKey === undefined ? 0 : this.keys.idempotency(SHARD, CLIENT, idempotencyKey).length;
    if (!this.weights.has(id)) this.weights.set(id, MESSAGE_BYTES + 'd'.length + payloadJson.length + keyBytes);
    const responseTimeoutMs = awaits ? RESPONSE_TIMEOUT_MS : undefined;
    const message = { messageId: id, directive: 'd', payloadJson, ttlMs, idempotencyKey, responseTimeoutMs };
    if (owned) await this.bench.owning(() => this.bench.accept(message));
    else await this.bench.accept(message);
  }

  async apply(one: Step): Promise<void> {
    const id = 'which' in one ? (this.ids[one.which] ?? '') : '';
    switch (one.do) {
      case 'accept':
        return this.accept(id, one.short ? 3 : 600_000, { ...one, ...(one.key && { idempotencyKey: `key of ${id}` }) });
      case 'take over':
        this.held = claimsOf(await this.bench.takeOver());
        return;
      case 'complete what is held':
        return this.completeHeld(one.outcome, one.stops);
      case 'complete':
        return this.complete(id, one.outcome, one.late);
      case 'cancel':
        await this.messages.cancel(id);
        return;
      case 'client error':
        await this.bench.outboxes.failByClient(CLIENT, id, 'broken');
        return;
      case 'expire':
        return this.expire();
      case 'pass the response deadlines':
        return this.passDeadlines();
      case 'become':
        return this.bench.become(one.state);
    }
  }

  private async attemptsOf(id: string): Promise<number> {
    const key = this.keys.message(SHARD, id);
    return (await redis.exists(key)) === 0 ? 1 : Number((await storedMessage(redis, key))['attempts']) || 1;
  }

  private async complete(id: string, outcome: Outcome, late: boolean): Promise<void> {
    const claims = await this.attemptsOf(id);
    const attempt = late ? claims - 1 : claims;
    this.held = claimsOf(await this.bench.complete({ messageId: id, attempt, outcome, details: 'why' }));
  }

  /** Completes the first message that is held, and goes on with those behind it if it was sent. */
  private async completeHeld(outcome: Outcome | 'unwritten', stops: boolean): Promise<void> {
    const [first, ...others] = this.held;
    if (first === undefined) return;
    const { clientId, messageId, attempt } = first;
    const last = others.at(-1)?.messageId;
    const goesOn = last !== undefined && outcome === 'sent' && !stops;
    const step = await this.bench.step({
      room: stops ? 'none-goes-on' : 0,
      results: [{ clientId, messageId, attempt, outcome, details: 'why', publishedAt: await this.bench.now() }],
      ...(goesOn && { lastClaimed: new Map([[CLIENT, last]]) }),
    });
    this.held = goesOn && !step.stopped.includes(CLIENT) ? [...others, ...step.claimed] : step.claimed;
  }

  /** Waits until messages with a short time to live have expired, and then does the work that is due. */
  async expire(): Promise<void> {
    for (const id of this.ids) {
      const message = await this.messages.read(id);
      if (message === undefined || message.expiresAt > message.createdAt + 1000) continue;
      await this.bench.untilExpiry(id);
    }
    await this.due.claim(GRANT);
  }

  /** As if the response deadlines of all messages had passed; then does the work that is due. */
  private async passDeadlines(): Promise<void> {
    const awaiting = this.keys.awaiting(SHARD);
    for (const id of await redis.zrange(awaiting, '0', '-1')) await redis.zadd(awaiting, 1, id);
    await this.due.claim(GRANT);
  }

  async check(): Promise<void> {
    const outbox = await redis.lrange(this.keys.outbox(SHARD, CLIENT), 0, -1);
    const expiry = await redis.zrange(this.keys.expiry(SHARD), '0', '-1');
    const awaiting = await redis.zrange(this.keys.awaiting(SHARD), '0', '-1');
    await this.checkInFlight(outbox);
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
      expect(awaiting.includes(id)).toBe(isAwaiting(message));
      const sentAt = message.history.find((change) => change.status === 'sent')?.at;
      const { responseDeadline } = message;
      if (responseDeadline !== undefined) expect(responseDeadline).toBe((sentAt ?? NaN) + RESPONSE_TIMEOUT_MS);
      if (status === 'queued' || status === 'in_flight') {
        expect(outbox).toContain(id);
        expect(expiry).toContain(id);
      } else if (status !== 'failed') {
        // A message that the client failed in flight may stay until its publish is completed.
        expect(outbox).not.toContain(id);
      }
      this.before.set(id, message);
    }
    await this.checkTimesToLive();
    await this.checkBytes();
  }

  /** The messages in flight are the first ones of the outbox. Behind one that is claimed ahead, all are. */
  private async checkInFlight(outbox: readonly string[]): Promise<void> {
    const states: string[] = [];
    for (const id of outbox) {
      const message = await this.messages.read(id);
      if (message === undefined || !['queued', 'held', 'in_flight'].includes(message.status)) continue;
      const isAhead = message.status === 'in_flight' && message.history.at(-1)?.status !== 'in_flight';
      states.push(isAhead ? 'ahead' : message.status === 'in_flight' ? 'published' : 'waiting');
    }
    expect(states).toEqual(states.toSorted((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b)));
  }

  /** Exactly the unfinished messages and those that await an answer are charged, those in flight are counted, and a recount has the same result. */
  private async checkBytes(): Promise<void> {
    const known = [...this.before.values()];
    const unfinished = known.filter(({ status }) => ['queued', 'held', 'in_flight'].includes(status));
    let bytes = unfinished.reduce((sum, { messageId }) => sum + (this.weights.get(messageId) ?? NaN), 0);
    for (const { messageId } of known.filter(isAwaiting)) bytes += await this.restOf(messageId);
    const inFlight = unfinished.filter(({ status }) => status === 'in_flight').length;
    const expected = {
      ...(bytes > 0 && { '': `${bytes}`, unknown: `${bytes}`, [`client:${CLIENT}`]: `${bytes}` }),
      ...(inFlight > 0 && { 'in_flight:unknown': `${inFlight}` }),
    };
    expect(await redis.hgetall(this.keys.outboxBytes(SHARD))).toEqual(expected);
    await recountBytes(redis, this.keys, GRANT);
    expect(await redis.hgetall(this.keys.outboxBytes(SHARD))).toEqual(expected);
  }

  /** The bytes of a message that was sent: its payload is gone. */
  private async restOf(id: string): Promise<number> {
    const { finished_bytes, history = '', answer_line = '' } = await storedMessage(redis, this.keys.message(SHARD, id));
    return AWAITING_MESSAGE_BYTES + Number(finished_bytes) + history.length + answer_line.length + 1;
  }

  private checkHistory({ messageId, status, history, createdAt }: StoredMessage): void {
    const moves = history.map((change) => change.status);
    expect(moves[0]).toBe('queued');
    expect(history[0]?.at).toBe(createdAt);
    // A message that is claimed ahead has no trace of it yet.
    if (moves.at(-1) === 'queued') expect(['queued', 'held', 'in_flight']).toContain(status);
    else expect(moves.at(-1)).toBe(status);
    moves.slice(1).forEach((to, i) => expect(TRANSITIONS[moves[i] ?? 'failed']).toContain(to));
    history.slice(1).forEach((change, i) => expect(change.at).toBeGreaterThanOrEqual(history[i]?.at ?? Infinity));
    const before = this.before.get(messageId);
    if (before === undefined) return;
    expect(history.slice(0, before.history.length)).toEqual(before.history);
    const last = before.history.at(-1)?.status ?? 'queued';
    if (FINAL.includes(last)) expect(history).toEqual(before.history);
  }

  /** Each change has one event, in order. */
  private async checkEvents(message: StoredMessage): Promise<void> {
    const events = await messageEvents(this.keys, message.messageId);
    expect(events.map(({ client_id }) => client_id)).toEqual(events.map(() => CLIENT));
    // Events show a queued message as `held` if its client is offline or not subscribed.
    const statuses = events.map(({ status }) => (status === 'held' ? 'queued' : status));
    expect(statuses).toEqual(message.history.map(({ status }) => status));
    expect(events.map(({ details }) => details)).toEqual(message.history.map(({ details }) => details));
  }

  /** Each message is scheduled to expire, to be unanswered or to be forgotten, and the keys of answers have an expiry. */
  private async checkTimesToLive(): Promise<void> {
    const found = await redis.keys(`${this.keys.shard(SHARD)}:idempotency:*`);
    for (const key of found) expect(await redis.pttl(key)).toBeGreaterThan(0);
    const kept = await redis.zrange(this.keys.messages(SHARD, CLIENT), '0', '-1');
    const sets = [this.keys.expiry(SHARD), this.keys.awaiting(SHARD)];
    const waiting = (await Promise.all(sets.map((set) => redis.zrange(set, '0', '-1')))).flat();
    const finished = [...(await this.bench.finishedLists()).values()].flat();
    expect(Number(await redis.get(this.keys.finishedCount(SHARD)))).toBe(finished.length);
    expect([...waiting, ...finished].sort()).toEqual([...kept].sort());
    expect(kept.toSorted()).toEqual([...this.before.keys()].sort());
  }
}

function isAwaiting({ status, responseDeadline }: StoredMessage): boolean {
  return status === 'sent' && responseDeadline !== undefined;
}

function claimsOf(served: Served): ClaimedMessage[] {
  return served.kind === 'claimed' ? [served.message, ...served.ahead] : [];
}

interface MessageEvent {
  client_id: string;
  message_id: string;
  status: string;
  details?: string;
}

async function messageEvents(keys: RegistryKeys, id: string): Promise<MessageEvent[]> {
  const entries = await redis.xrange(keys.events(SHARD), '-', '+');
  const events = entries
    .flatMap(([entry, fields]) => eventsOfEntry(entry, 0, fields))
    .map(({ text }) => JSON.parse(text) as MessageEvent & { type: string });
  return events.filter(({ type, message_id }) => type === 'message.status' && message_id === id);
}

describe('the statuses of a message', () => {
  it('are the rows and the targets of the table of transitions', () => {
    expect(Object.keys(TRANSITIONS).sort()).toEqual([...STORED_STATUSES].sort());
    for (const targets of Object.values(TRANSITIONS)) for (const to of targets) expect(STORED_STATUSES).toContain(to);
    expect(FINAL).toEqual(['answered', 'failed', 'unanswered', 'expired', 'cancelled']);
    expect([...MESSAGE_STATUSES].sort()).toEqual([...STORED_STATUSES, 'held'].sort());
  });

  it('follow the table of transitions, and a message is in the outbox until it has finished', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const world = new World();
        await world.begin();
        // Accept two messages at the start, so that each step has a message to act on, and one is claimed ahead.
        for (const [i, id] of world.ids.slice(0, 2).entries()) await world.accept(id, 600_000, { awaits: i === 0 });
        for (const one of steps) {
          await world.apply(one);
          await world.check();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('reach a final one when all publishes are completed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const world = new World();
        await world.begin();
        for (const one of steps) await world.apply(one);
        await world.bench.become('online');
        let next = await world.bench.takeOver();
        for (let i = 0; next.kind === 'claimed' && i < 2 * COUNT; i++) {
          next = await world.bench.complete({ ...next.message, outcome: 'sent' });
        }
        expect(next).toEqual({ kind: 'empty' });
        for (const id of world.ids) {
          const status = (await world.messages.read(id))?.status ?? 'sent';
          expect(['sent', ...FINAL]).toContain(status);
        }
        // No work is left.
        await world.expire();
        await world.apply({ do: 'pass the response deadlines' });
        const { keys } = world;
        const left = [keys.outbox(SHARD, CLIENT), keys.todo(SHARD), keys.expiry(SHARD), keys.awaiting(SHARD)];
        expect(await redis.exists(...left)).toBe(0);
        await world.check();
      }),
      { numRuns: 30 },
    );
  });
});

describe('the history of a message', () => {
  it('stays bounded after 500 retries, and has the first and the last change', async () => {
    const world = new World();
    await world.begin();
    const id = world.ids[0] ?? '';
    await world.accept(id, 3_600_000);
    let longest = 0;
    for (let i = 0; i < 500; i++) {
      const attempt = i + 1;
      await world.bench.takeOver();
      const details = `try ${i} ${'x'.repeat((i * 37) % 6000)}`;
      await world.bench.complete({ messageId: id, attempt, outcome: 'retry', details });
      longest = Math.max(longest, (await storedMessage(redis, world.keys.message(SHARD, id)))['history']?.length ?? 0);
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
    // After the truncated part the history has no gap.
    const moves = history.slice(1).map(({ status }) => status);
    moves.slice(1).forEach((to, i) => expect(TRANSITIONS[moves[i] ?? 'failed']).toContain(to));
    expect(moves.length).toBeGreaterThan(2);
  });
});
