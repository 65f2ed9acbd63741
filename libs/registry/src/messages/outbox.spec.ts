import { newMessageId, shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { Draining, type Drained } from '../../../../test/support/draining.js';
import { acceptOne } from '../../../../test/support/messages.js';
import { DeadLetters, type StoredDeadLetter } from '../events/dead-letters.js';
import { Messages } from './messages.js';
import { Outboxes, type ClaimedMessage } from './outbox.js';
import { RegistryKeys } from '../keys.js';
import { WAKE_AGAIN_MS, WAKE_TODO } from './wake-todo.js';

const SHARDS = 4;
const CLIENT = 'host-1';
const SHARD = shardOf(CLIENT, SHARDS);

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let outboxes: Outboxes;
let draining: Draining;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`outbox${keySpaces++}`);
  messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 1000,
    shardLimit: 1000,
    retentionMs: 3_600_000,
  });
  outboxes = new Outboxes(redis, keys, SHARDS);
  draining = new Draining(redis, keys, outboxes, CLIENT, SHARDS);
  await become('online');
});

async function become(state: 'online' | 'offline'): Promise<void> {
  await redis
    .multi()
    .hset(keys.connections(SHARD), CLIENT, '{}')
    .zrem(keys.index(SHARD, state === 'online' ? 'offline' : 'online', 'host'), CLIENT)
    .zadd(keys.index(SHARD, state, 'host'), 0, CLIENT)
    .exec();
}

async function accept(name = 'directive', payloadJson?: string, ttlMs = 600_000): Promise<string> {
  const id = messages.mint(CLIENT);
  const outcome = await acceptOne(messages, id, {
    clientId: CLIENT,
    directive: name,
    payloadJson,
    ttlMs,
    whenOffline: 'hold',
    idempotencyKey: undefined,
    requestId: `request of ${name}`,
  });
  expect(outcome.kind).toBe('accepted');
  return id;
}

function claimed(step: Drained): ClaimedMessage {
  if (step.kind !== 'claimed') throw new Error(`nothing was claimed: ${step.kind}`);
  return step.message;
}

async function claim(): Promise<ClaimedMessage> {
  return claimed(await draining.claim());
}

async function statuses(id: string): Promise<string[] | undefined> {
  return (await messages.read(id))?.history.map(({ status }) => status);
}

async function waiting(): Promise<string[]> {
  return redis.lrange(keys.outbox(SHARD, CLIENT), 0, -1);
}

async function lastEvent(stream = keys.events(SHARD)): Promise<unknown> {
  const [last] = await redis.xrevrange(stream, '+', '-', 'COUNT', 1);
  return JSON.parse(last?.[1][3] ?? 'null');
}

async function statusEvents(id: string): Promise<string[]> {
  const entries = await redis.xrange(keys.events(SHARD), '-', '+');
  const events = entries.map(([, fields]) => JSON.parse(fields[3] ?? '') as { message_id: string; status: string });
  return events.filter((event) => event.message_id === id).map(({ status }) => status);
}

async function deadLetters(): Promise<StoredDeadLetter[]> {
  return (await new DeadLetters(redis, keys, SHARDS).list(10)).letters;
}

async function wakeDueIn(): Promise<number> {
  const [score, [seconds, micros]] = await Promise.all([redis.zscore(keys.todo(SHARD), WAKE_TODO), redis.time()]);
  if (score === null) throw new Error('there is no wake-up');
  return Number(score) - (Number(seconds) * 1000 + Math.floor(Number(micros) / 1000));
}

describe('draining', () => {
  it('claims the messages one after the other, in the order of their acceptance', async () => {
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push(await accept(`d${i}`));
    const drained: string[] = [];
    let step = await draining.claim();
    while (step.kind === 'claimed') {
      drained.push(step.message.messageId);
      step = await draining.settle({ messageId: step.message.messageId, attempt: 1, outcome: 'sent' });
    }
    expect(step).toEqual({ kind: 'empty' });
    expect(drained).toEqual(ids);
    for (const id of ids) expect(await statuses(id)).toEqual(['queued', 'in_flight', 'sent']);
    expect(await redis.exists(keys.outbox(SHARD, CLIENT), keys.expiry(SHARD), keys.todo(SHARD))).toBe(0);
  });

  it('hands over what was accepted', async () => {
    const id = await accept('rhc:work', '{"a":[1,"ü😀"]}');
    const stored = await messages.read(id);
    const message = await claim();
    expect(message).toEqual({
      clientId: CLIENT,
      messageId: id,
      directive: 'rhc:work',
      payloadJson: '{"a":[1,"ü😀"]}',
      leftMs: message.leftMs,
      requestId: 'request of rhc:work',
      attempt: 1,
      createdAt: stored?.createdAt,
    });
    expect(message.leftMs).toBeGreaterThan(0);
    expect(message.leftMs).toBeLessThanOrEqual(600_000);
  });

  it('distinguishes a message without a payload from one whose payload is null', async () => {
    const first = await accept('none');
    await accept('null', 'null');
    expect((await claim()).payloadJson).toBeUndefined();
    expect(claimed(await draining.settle({ messageId: first, attempt: 1, outcome: 'sent' })).payloadJson).toBe('null');
  });

  it('of an outbox that does not exist finds it empty', async () => {
    expect(await draining.claim()).toEqual({ kind: 'empty' });
  });

  it('removes the wake-up when nothing is left, and keeps it due while something is under way', async () => {
    const id = await accept();
    await claim();
    const due = await wakeDueIn();
    expect(due).toBeGreaterThan(0);
    expect(due).toBeLessThanOrEqual(WAKE_AGAIN_MS);
    await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await redis.zscore(keys.todo(SHARD), WAKE_TODO)).toBeNull();
  });

  it('gives the message of a dispatcher that died to the next one, under the same id and first in order', async () => {
    const [first] = [await accept('first'), await accept('second')];
    expect(await claim()).toMatchObject({ messageId: first, attempt: 1 });
    expect(await claim()).toMatchObject({ messageId: first, attempt: 2, directive: 'first' });
    expect(await statuses(first)).toEqual(['queued', 'in_flight']);
  });

  it('skips what has expired, and marks it so', async () => {
    const short = await accept('short', undefined, 1);
    const long = await accept('long');
    const step = await eventually(async () => {
      const [seconds, micros] = await redis.time();
      const { expiresAt } = (await messages.read(short)) ?? { expiresAt: 0 };
      expect(Number(seconds) * 1000 + Number(micros) / 1000).toBeGreaterThan(expiresAt + 1);
      return draining.claim();
    });
    expect(claimed(step).messageId).toBe(long);
    expect(await statuses(short)).toEqual(['queued', 'expired']);
    expect(await waiting()).toEqual([long]);
    expect(await redis.zrange(keys.expiry(SHARD), '0', '-1')).toEqual([long]);
  });

  it('does not publish a claimed message again past its time to live', async () => {
    const id = await accept('x', undefined, 200);
    const next = await accept();
    await claim();
    await redis.hset(keys.message(SHARD, id), 'expires_at', '1000');
    expect(await claim()).toMatchObject({ messageId: next, attempt: 1 });
    expect(await statuses(id)).toEqual(['queued', 'in_flight', 'queued', 'expired']);
    expect(await waiting()).toEqual([next]);
  });

  it('drops an id without a record, and goes on behind it', async () => {
    const poison = newMessageId(SHARD);
    await redis.rpush(keys.outbox(SHARD, CLIENT), poison);
    await redis.zadd(keys.expiry(SHARD), 5, poison);
    const id = await accept();
    expect((await claim()).messageId).toBe(id);
    expect(await waiting()).toEqual([id]);
    expect(await redis.zrange(keys.expiry(SHARD), '0', '-1')).toEqual([id]);
    expect(await redis.exists(keys.message(SHARD, poison))).toBe(0);
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
  ])('makes a record with %s a dead letter, and goes on behind it', async (_, fields) => {
    const [poison, id] = [await accept(), await accept()];
    await redis.hdel(keys.message(SHARD, poison), ...fields);
    expect((await claim()).messageId).toBe(id);
    expect(await waiting()).toEqual([id]);
    expect(await redis.zrange(keys.expiry(SHARD), '0', '-1')).toEqual([id]);
    const [letter, ...more] = await deadLetters();
    expect([letter?.reason, more]).toEqual(['unreadable-record', []]);
    expect(letter?.details).toContain(poison);
    if (fields.includes('client_id')) return;
    expect((await messages.read(poison))?.history.at(-1)).toMatchObject({ status: 'failed' });
    expect((await statusEvents(poison)).at(-1)).toBe('failed');
    expect(await redis.zscore(keys.finished(SHARD), poison)).not.toBeNull();
  });

  it.each([
    ['status', 'lost'],
    ['expires_at', 'soon'],
    ['created_at', ''],
    ['client_id', 'another'],
  ])('makes a record a dead letter whose %s is %j, and goes on behind it', async (field, value) => {
    const [poison, id] = [await accept(), await accept()];
    await redis.hset(keys.message(SHARD, poison), field, value);
    expect((await claim()).messageId).toBe(id);
    expect(await deadLetters()).toHaveLength(1);
  });

  it('reads past odd attempts, retention and history of a record', async () => {
    const id = await accept();
    await redis.hset(keys.message(SHARD, id), 'attempts', 'many', 'keep', 'long', 'history', '');
    const { attempt } = await claim();
    expect(attempt).toBe(1);
    await draining.settle({ messageId: id, attempt, outcome: 'sent' });
    expect(await statuses(id)).toEqual(['in_flight', 'sent']);
  });

  it.each(['message', 'outbox'])('makes a key of the wrong type a dead letter: %s', async (which) => {
    const id = await accept();
    const key = which === 'message' ? keys.message(SHARD, id) : keys.outbox(SHARD, CLIENT);
    await redis.set(key, 'text');
    expect(await draining.claim()).toEqual({ kind: 'empty' });
    expect(await deadLetters()).toHaveLength(1);
  });

  it('drops a message that has come to its end, and does not publish it', async () => {
    const [cancelled, next] = [await accept(), await accept()];
    await messages.cancel(cancelled);
    // As if it had stayed in the list.
    await redis.lpush(keys.outbox(SHARD, CLIENT), cancelled);
    expect((await claim()).messageId).toBe(next);
    expect(await statuses(cancelled)).toEqual(['queued', 'cancelled']);
  });

  it('claims a message once, however many drain at the same time, until its next try', async () => {
    const ids = [await accept(), await accept(), await accept()];
    const steps = await Promise.all(Array.from({ length: 10 }, () => draining.claim()));
    expect(new Set(steps.map((step) => claimed(step).messageId))).toEqual(new Set([ids[0]]));
    expect(steps.map((step) => claimed(step).attempt).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});

describe('draining for a client that is offline', () => {
  it('leaves what waits, held and without a wake-up', async () => {
    const id = await accept();
    await become('offline');
    expect(await draining.claim()).toEqual({ kind: 'offline' });
    expect(await waiting()).toEqual([id]);
    expect((await messages.read(id))?.status).toBe('held');
    expect(await redis.zscore(keys.todo(SHARD), WAKE_TODO)).toBeNull();
  });

  it('puts a message in flight back to the queue, so that it can be cancelled or expire', async () => {
    const id = await accept();
    await claim();
    await become('offline');
    expect(await draining.claim()).toEqual({ kind: 'offline' });
    expect(await statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
    expect(await messages.cancel(id)).toEqual({ kind: 'cancelled' });
  });

  it('completes results first: a sent message is not put back', async () => {
    const [sent, held] = [await accept(), await accept()];
    await claim();
    await become('offline');
    expect(await draining.settle({ messageId: sent, attempt: 1, outcome: 'sent' })).toEqual({ kind: 'offline' });
    expect(await statuses(sent)).toEqual(['queued', 'in_flight', 'sent']);
    expect(await waiting()).toEqual([held]);
  });

  it('goes on in the old order when the client is back', async () => {
    const ids = [await accept(), await accept()];
    await claim();
    await become('offline');
    await draining.claim();
    await become('online');
    expect(await claim()).toMatchObject({ messageId: ids[0], attempt: 2 });
    const next = await draining.settle({ messageId: ids[0] ?? '', attempt: 2, outcome: 'sent' });
    expect(claimed(next).messageId).toBe(ids[1]);
  });

  it('does not end what another drain has put back and may publish again', async () => {
    const id = await accept();
    await claim();
    const first = draining.run;
    await become('offline');
    await draining.claim();
    // The first drain comes late with its settlement.
    expect(await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' }, first)).toEqual({
      kind: 'superseded',
    });
    expect(await waiting()).toEqual([id]);
    expect((await messages.read(id))?.status).toBe('held');
  });
});

describe('settling', () => {
  it('as failed ends the message with its details and goes on', async () => {
    const [refused, next] = [await accept(), await accept()];
    await claim();
    const step = await draining.settle({
      messageId: refused,
      attempt: 1,
      outcome: 'failed',
      details: 'not authorized',
    });
    expect(claimed(step).messageId).toBe(next);
    expect((await messages.read(refused))?.history.at(-1)).toMatchObject({
      status: 'failed',
      details: 'not authorized',
    });
    expect(await waiting()).toEqual([next]);
    expect(await redis.zscore(keys.expiry(SHARD), refused)).toBeNull();
  });

  it.each(['unheard', 'retry'] as const)(
    'as %s keeps the message first in order, to be tried again later',
    async (outcome) => {
      const [id, next] = [await accept(), await accept()];
      await claim();
      const step = await draining.settle({ messageId: id, attempt: 1, outcome, details: 'why' });
      expect(step).toEqual({ kind: 'waiting' });
      expect(await waiting()).toEqual([id, next]);
      expect(await statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
      expect(await redis.zscore(keys.expiry(SHARD), id)).not.toBeNull();
      expect((await claim()).messageId).toBe(id);
    },
  );

  it.each([
    ['control characters', `a\nb\tc ${'x'.repeat(10_000)}`, /^a b c x{994}$/],
    ['characters beyond the basic plane', `a${'😀'.repeat(10_000)}`, /^a😀{499}\ufffd$/u],
  ])('keeps the details of a retry in the history, in brief and as one line: %s', async (_, details, kept) => {
    const id = await accept();
    await claim();
    await draining.settle({ messageId: id, attempt: 1, outcome: 'retry', details });
    const history = (await messages.read(id))?.history ?? [];
    expect(history.map(({ status }) => status)).toEqual(['queued', 'in_flight', 'queued']);
    expect(history[2]?.details).toMatch(kept);
  });

  it.each(['unheard', 'retry'] as const)(
    'as %s doubles the wait from a second to a minute, and no further',
    async (outcome) => {
      const id = await accept();
      const waits: number[] = [];
      for (let i = 0; i < 30; i++) {
        const { attempt } = await claim();
        const step = await draining.settle({ messageId: id, attempt, outcome, details: 'why' });
        expect(step).toEqual({ kind: 'waiting' });
        waits.push(await wakeDueIn());
      }
      const capped = Array.from({ length: 24 }, () => 60_000);
      const wanted = [1000, 2000, 4000, 8000, 16_000, 32_000, ...capped];
      expect(waits.map((ms) => Math.round(ms / 1000) * 1000)).toEqual(wanted);
    },
  );

  it('starts the next message with a short wait again', async () => {
    const [first, second] = [await accept(), await accept()];
    for (let i = 0; i < 5; i++) {
      const { attempt } = await claim();
      await draining.settle({ messageId: first, attempt, outcome: 'unheard' });
    }
    const { attempt } = await claim();
    await draining.settle({ messageId: first, attempt, outcome: 'sent' });
    const step = await draining.settle({ messageId: second, attempt: 1, outcome: 'unheard' });
    expect(step).toEqual({ kind: 'waiting' });
  });

  it('twice is as good as once', async () => {
    const [first, second, third] = [await accept(), await accept(), await accept()];
    await claim();
    const settle = (): Promise<Drained> => draining.settle({ messageId: first, attempt: 1, outcome: 'sent' });
    expect(claimed(await settle()).messageId).toBe(second);
    expect(claimed(await settle()).messageId).toBe(second);
    expect(await statuses(first)).toEqual(['queued', 'in_flight', 'sent']);
    expect(await waiting()).toEqual([second, third]);
  });

  it('by a drain whose message another one has claimed since ends that drain, and the newer one goes on', async () => {
    const [first, second] = [await accept(), await accept()];
    const old = await claim();
    const oldRun = draining.run;
    const young = await claim();
    const youngRun = draining.run;
    expect([old.attempt, young.attempt]).toEqual([1, 2]);
    expect(await draining.settle({ ...old, outcome: 'sent' }, oldRun)).toEqual({ kind: 'superseded' });
    // What is certain is not lost with it.
    expect(await statuses(first)).toEqual(['queued', 'in_flight', 'sent']);
    expect(claimed(await draining.settle({ ...young, outcome: 'sent' }, youngRun))).toMatchObject({
      messageId: second,
      attempt: 1,
    });
  });

  it.each(['unheard', 'retry', 'failed'] as const)(
    'as %s by such a drain changes nothing: the newer one finds out for itself',
    async (outcome) => {
      const id = await accept();
      const old = await claim();
      const oldRun = draining.run;
      const young = await claim();
      const youngRun = draining.run;
      expect(await draining.settle({ ...old, outcome, details: 'x' }, oldRun)).toEqual({ kind: 'superseded' });
      expect(await statuses(id)).toEqual(['queued', 'in_flight']);
      await draining.settle({ ...young, outcome: 'sent' }, youngRun);
      expect(await statuses(id)).toEqual(['queued', 'in_flight', 'sent']);
    },
  );

  it('of an unknown message changes nothing and creates no record', async () => {
    const id = await accept();
    for (const outcome of ['sent', 'unheard', 'failed', 'retry'] as const) {
      const unknown = newMessageId(SHARD);
      const step = await draining.settle({ messageId: unknown, attempt: 1, outcome, details: 'why' });
      expect(claimed(step).messageId).toBe(id);
      expect(await redis.exists(keys.message(SHARD, unknown))).toBe(0);
    }
    expect(await waiting()).toEqual([id]);
  });
});

describe("a client's message-error", () => {
  it.each(['in_flight', 'sent'] as const)('makes a message failed that is %s, with the details', async (status) => {
    const id = await accept();
    await claim();
    if (status === 'sent') await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await outboxes.failByClient(CLIENT, id, 'no such worker')).toBe('failed');
    expect((await messages.read(id))?.history.at(-1)).toMatchObject({ status: 'failed', details: 'no such worker' });
    expect(await lastEvent()).toEqual({
      ...{ type: 'message.status', client_id: CLIENT, message_id: id },
      ...{ status: 'failed', details: 'no such worker' },
    });
  });

  it.each(['sent', 'failed', 'unheard', 'retry'] as const)(
    'a message-error wins over a later publish result of %s',
    async (outcome) => {
      const [id, next] = [await accept(), await accept()];
      await claim();
      await outboxes.failByClient(CLIENT, id, 'no such worker');
      const step = await draining.settle({ messageId: id, attempt: 1, outcome, details: 'of the broker' });
      expect(claimed(step).messageId).toBe(next);
      expect(await statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
      expect((await messages.read(id))?.history.at(-1)?.details).toBe('no such worker');
      expect(await waiting()).toEqual([next]);
      expect(await redis.zscore(keys.expiry(SHARD), id)).toBeNull();
    },
  );

  it('the next run takes over the message if the dispatcher died before completing it', async () => {
    const [id, next] = [await accept(), await accept()];
    await claim();
    await outboxes.failByClient(CLIENT, id, 'no such worker');
    expect((await claim()).messageId).toBe(next);
    expect(await waiting()).toEqual([next]);
  });

  it.each(['online', 'offline'] as const)(
    'counts after the PUBACK was lost and the message waits for its next try (client %s)',
    async (state) => {
      const [id, next] = [await accept(), await accept()];
      await claim();
      await draining.settle({ messageId: id, attempt: 1, outcome: 'retry', details: 'no PUBACK' });
      await become(state);
      expect((await messages.read(id))?.status).toBe(state === 'online' ? 'queued' : 'held');
      expect(await outboxes.failByClient(CLIENT, id, 'no such worker')).toBe('failed');
      expect(await statuses(id)).toEqual(['queued', 'in_flight', 'queued', 'failed']);
      expect(await waiting()).toEqual([next]);
      expect(await redis.zscore(keys.expiry(SHARD), id)).toBeNull();
      await become('online');
      expect((await claim()).messageId).toBe(next);
    },
  );

  it('leaves the outbox at once, and a later completion changes nothing', async () => {
    const [id, next] = [await accept(), await accept()];
    await claim();
    await outboxes.failByClient(CLIENT, id, 'no such worker');
    expect(await waiting()).toEqual([next]);
    const step = await draining.settle({ messageId: id, attempt: 1, outcome: 'retry', details: 'no PUBACK' });
    expect(claimed(step).messageId).toBe(next);
    expect(await statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
  });

  it('counts for a record of an older release that is in flight without a count of its claims', async () => {
    const id = await accept();
    await claim();
    await redis.hdel(keys.message(SHARD, id), 'attempts');
    expect(await outboxes.failByClient(CLIENT, id, 'x')).toBe('failed');
  });

  it('changes nothing for a message that has expired or was cancelled after a claim', async () => {
    const [expired, cancelled] = [await accept('x', undefined, 200), await accept()];
    for (const id of [expired, cancelled]) {
      const { attempt } = await claim();
      await draining.settle({ messageId: id, attempt, outcome: 'retry', details: 'no PUBACK' });
      if (id === expired) await redis.hset(keys.message(SHARD, id), 'expires_at', '1000');
    }
    await messages.cancel(cancelled);
    for (const id of [expired, cancelled]) {
      const before = await statuses(id);
      expect(await outboxes.failByClient(CLIENT, id, 'x')).toBe('not-published');
      expect(await statuses(id)).toEqual(before);
    }
  });

  it('changes nothing for a message that was not published yet', async () => {
    const id = await accept();
    expect(await outboxes.failByClient(CLIENT, id, 'x')).toBe('not-published');
    expect(await statuses(id)).toEqual(['queued']);
    await messages.cancel(id);
    expect(await outboxes.failByClient(CLIENT, id, 'x')).toBe('not-published');
    expect(await statuses(id)).toEqual(['queued', 'cancelled']);
  });

  it('counts once when it is repeated', async () => {
    const id = await accept();
    await claim();
    await outboxes.failByClient(CLIENT, id, 'first');
    expect(await outboxes.failByClient(CLIENT, id, 'second')).toBe('repeated');
    expect((await messages.read(id))?.history.at(-1)?.details).toBe('first');
  });

  it('an error about an unknown message is published as an event, and nothing else is stored', async () => {
    const before = await redis.keys(`${keys.prefix}*`);
    expect(await outboxes.failByClient(CLIENT, 'never heard of', 'x'.repeat(5000))).toBe('unknown');
    const known = new Set([...before, keys.refusalEvents(SHARD), keys.log(SHARD)]);
    expect((await redis.keys(`${keys.prefix}*`)).sort()).toEqual([...known].sort());
    expect(await lastEvent(keys.refusalEvents(SHARD))).toEqual({
      type: 'message.unmatched_error',
      client_id: CLIENT,
      in_response_to: 'never heard of',
      details: 'x'.repeat(1000),
    });
  });

  it('an error about a message of another client is published as an event, and the message is unchanged', async () => {
    const stranger = Array.from({ length: 1000 }, (_, i) => `stranger-${i}`).find(
      (id) => shardOf(id, SHARDS) === SHARD,
    );
    const id = await accept();
    await claim();
    expect(await outboxes.failByClient(stranger ?? '', id, 'x')).toBe('foreign');
    expect(await statuses(id)).toEqual(['queued', 'in_flight']);
    const event = { type: 'message.unmatched_error', client_id: stranger };
    expect(await lastEvent(keys.refusalEvents(SHARD))).toMatchObject(event);
  });
});
