import {
  CLIENT,
  GRANT,
  LIMITS,
  SHARD,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { storedMessage } from '../../../../test/support/stored-message.js';
import { DueTodos } from '../todos/due-work.js';
import { AWAITING_MESSAGE_BYTES, recountBytes } from './byte-budget.js';
import { Messages, type MessageLimits, type MintedMessage } from './messages.js';

const TIMEOUT_MS = 60_000;

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  await bench.own();
  await bench.become('online');
});

/** Accepts, claims and sends a message that awaits an answer. @returns its id */
async function send(more: Partial<MintedMessage> = {}): Promise<string> {
  const id = await bench.add({ responseTimeoutMs: TIMEOUT_MS, ...more });
  const { attempt } = await bench.claim();
  await bench.complete({ messageId: id, attempt, outcome: 'sent' });
  return id;
}

/** As if the response deadline had passed. */
async function endWait(...ids: string[]): Promise<void> {
  for (const id of ids) await bench.redis.zadd(bench.keys.awaiting(SHARD), 'XX', 1, id);
}

function due(limits = { count: 1000, bytes: 1_000_000 }): DueTodos {
  return new DueTodos(bench.redis, bench.keys, () => limits);
}

async function awaiting(): Promise<string[]> {
  return bench.redis.zrange(bench.keys.awaiting(SHARD), '0', '-1');
}

async function charged(): Promise<Record<string, string>> {
  return bench.redis.hgetall(bench.keys.outboxBytes(SHARD));
}

async function bytesOf(id: string): Promise<number> {
  const {
    finished_bytes,
    history = '',
    answer_line = '',
  } = await storedMessage(bench.redis, bench.keys.message(SHARD, id));
  return Number(finished_bytes) + history.length + answer_line.length + 1;
}

describe('a message with a response timeout', () => {
  it('has no deadline before it was sent', async () => {
    const id = await bench.add({ responseTimeoutMs: TIMEOUT_MS });
    expect(await bench.messages.read(id)).toMatchObject({ status: 'queued', responseDeadline: undefined });
    await bench.claim();
    expect(await bench.messages.read(id)).toMatchObject({ status: 'in_flight', responseDeadline: undefined });
    expect(await awaiting()).toEqual([]);
  });

  it('awaits its answer as soon as it was sent: it is neither in the outbox nor finished', async () => {
    const id = await send();
    const message = await bench.messages.read(id);
    expect(message?.status).toBe('sent');
    expect(message?.responseDeadline).toBe((message?.history.at(-1)?.at ?? NaN) + TIMEOUT_MS);
    expect(await awaiting()).toEqual([id]);
    expect(Number(await bench.redis.zscore(bench.keys.awaiting(SHARD), id))).toBe(message?.responseDeadline);
    expect(await bench.outbox()).toEqual([]);
    expect(await bench.redis.exists(bench.keys.expiry(SHARD), bench.keys.finishedDue(SHARD))).toBe(0);
    expect(await bench.redis.exists(bench.keys.finishedCount(SHARD), bench.keys.finishedBytes(SHARD))).toBe(0);
  });

  it('keeps its deadline if the reply of the step that sent it was lost, and the step is repeated', async () => {
    const id = await bench.add({ responseTimeoutMs: TIMEOUT_MS });
    const { attempt } = await bench.claim();
    await bench.complete({ messageId: id, attempt, outcome: 'sent' });
    const before = [await bench.messages.read(id), await charged()];
    await bench.complete({ messageId: id, attempt, outcome: 'sent' });
    await bench.complete({ messageId: id, attempt, outcome: 'retry', details: 'late' });
    expect([await bench.messages.read(id), await charged()]).toEqual(before);
    expect(await awaiting()).toEqual([id]);
  });

  it('without one is finished as soon as it was sent', async () => {
    const id = await send({ responseTimeoutMs: undefined });
    expect(await bench.messages.read(id)).toMatchObject({ status: 'sent', responseDeadline: undefined });
    expect(await awaiting()).toEqual([]);
    expect(await bench.finishedLists()).toEqual(new Map([['unknown', [id]]]));
  });

  it('is charged with what it takes without its payload, until it has finished', async () => {
    const id = await send({ payloadJson: JSON.stringify('x'.repeat(10_000)) });
    const bytes = `${AWAITING_MESSAGE_BYTES + (await bytesOf(id))}`;
    const expected = { '': bytes, unknown: bytes, [`client:${CLIENT}`]: bytes };
    expect(await charged()).toEqual(expected);
    expect(await bench.redis.exists(bench.keys.payload(SHARD, id))).toBe(0);
    await bench.redis.del(bench.keys.outboxBytes(SHARD));
    expect(await recountBytes(bench.redis, bench.keys, GRANT)).toBe(true);
    expect(await charged()).toEqual(expected);
    await endWait(id);
    await due().claim(GRANT);
    expect(await charged()).toEqual({});
    expect(await bench.redis.zscore(bench.keys.finishedBytes(SHARD), 'unknown')).toBe(`${await bytesOf(id)}`);
  });

  it('counts in the byte budgets while it awaits its answer, but not in the limit of an outbox', async () => {
    const acceptWithin = async (limits: Partial<MessageLimits>): Promise<unknown> => {
      const messages = new Messages(bench.redis, bench.keys, { ...LIMITS, outboxLimit: 1, shardLimit: 1, ...limits });
      const { outcomes } = await messages.accept(SHARD, [bench.minted({ responseTimeoutMs: TIMEOUT_MS })]);
      return outcomes[0]?.kind;
    };
    for (let i = 0; i < 3; i++) {
      expect(await acceptWithin({})).toBe('accepted');
      const { messageId, attempt } = await bench.claim();
      await bench.complete({ messageId, attempt, outcome: 'sent' });
    }
    expect(await awaiting()).toHaveLength(3);
    const taken = Number((await charged())['']);
    expect(await acceptWithin({ outboxBytes: taken + 1000 })).toBe('full');
    expect(await acceptWithin({ shardBytes: taken + 1000 })).toBe('shard-full');
    expect(await acceptWithin({ outboxBytes: taken + 2000 })).toBe('accepted');
  });

  it('is never forgotten early, whatever the limits for finished messages are', async () => {
    const [waiting, other] = [await send(), await send({ responseTimeoutMs: undefined })];
    const work = await due({ count: 0, bytes: 0 }).claim(GRANT);
    expect(work).toMatchObject({ forgottenEarly: 1, unanswered: 0 });
    expect(await bench.messages.read(waiting)).toMatchObject({ status: 'sent' });
    expect(await bench.messages.read(other)).toBeUndefined();
  });
});

describe('a message whose response deadline has passed', () => {
  it('becomes unanswered, and its retention begins then', async () => {
    const [id, later] = [await send(), await send()];
    expect(await due().find([GRANT])).toMatchObject({ grants: [] });
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 0 });
    await endWait(id);
    expect(await due().find([GRANT])).toMatchObject({ grants: [GRANT] });
    const before = await bench.now();
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 1, more: false });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'sent', 'unanswered']);
    expect(await bench.eventsOf(id)).toEqual(['queued', 'in_flight', 'sent', 'unanswered']);
    expect((await bench.messages.read(id))?.responseDeadline).toBeDefined();
    const forgetAt = Number(await bench.redis.zscore(bench.keys.finishedDue(SHARD), 'unknown'));
    expect(forgetAt).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(await awaiting()).toEqual([later]);
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 0 });
  });

  it('is looked at again a second later while an answer to it waits for the account of its client', async () => {
    const { redis, keys } = bench;
    const id = await send();
    const connection = { i: CLIENT, aa: { waiting: [{ in_response_to: id }] } };
    await redis.hset(keys.connections(SHARD), CLIENT, JSON.stringify(connection));
    await redis.sadd(keys.accountsAsked(SHARD), CLIENT);
    await endWait(id);
    const before = await bench.now();
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 0 });
    expect(await bench.messages.read(id)).toMatchObject({ status: 'sent' });
    expect(Number(await redis.zscore(keys.awaiting(SHARD), id))).toBeGreaterThanOrEqual(before + 1000);
    await endWait(id);
    await redis.hset(keys.connections(SHARD), CLIENT, JSON.stringify({ ...connection, aa: { waiting: [] } }));
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 1 });
  });

  it('becomes unanswered in batches', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 150; i++) ids.push(await send());
    await endWait(...ids);
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 100, more: true });
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 50, more: false });
  });

  it('leaves the set although its record is lost or cannot be read', async () => {
    const ids = [await send(), await send()];
    await bench.redis.del(bench.keys.message(SHARD, ids[0] ?? ''));
    await bench.redis.set(bench.keys.message(SHARD, ids[1] ?? ''), 'no record');
    await endWait(...ids);
    expect(await due().claim(GRANT)).toMatchObject({ unanswered: 0, more: false });
    expect(await awaiting()).toEqual([]);
  });

  it('is forgotten with all that it took', async () => {
    const id = await send();
    await endWait(id);
    await due().claim(GRANT);
    await bench.endRetention(id);
    expect(await due().claim(GRANT)).toMatchObject({ forgotten: 1 });
    expect(await bench.messages.read(id)).toBeUndefined();
    expect(await bench.redis.exists(bench.keys.finishedBytes(SHARD), bench.keys.finishedCount(SHARD))).toBe(0);
  });
});

it('a message-error ends the wait for an answer', async () => {
  const id = await send();
  expect(await bench.outboxes.failByClient(CLIENT, id, 'broken')).toBe('failed');
  expect(await bench.messages.read(id)).toMatchObject({ status: 'failed' });
  expect(await awaiting()).toEqual([]);
  expect(await bench.finishedLists()).toEqual(new Map([['unknown', [id]]]));
  expect(await charged()).toEqual({});
});

it('of an answered message with an Idempotency-Key, the answer is forgotten with the retention', async () => {
  const id = await send({ idempotencyKey: 'k' });
  const key = bench.keys.message(SHARD, id);
  await bench.outboxes.failByClient(CLIENT, id, 'broken');
  const before = await storedMessage(bench.redis, key);
  const size = 5000;
  const answer_line = `60000\t1\t\t\tanswer-1\t{"received_at":1,"size":${size}}`;
  const more = size + answer_line.length - (before['answer_line']?.length ?? 0);
  const bytes = `${Number(before['bytes']) + more}`;
  await bench.redis.set(bench.keys.payload(SHARD, id), 'x'.repeat(size));
  const text = (await bench.redis.get(key)) ?? '';
  await bench.redis.set(
    key,
    text
      .replace(before['answer_line'] ?? '', answer_line)
      .replace(` ${before['bytes']} `, ` ${bytes} `)
      .replace(' 0\n', ' 1\n'),
  );
  for (const payer of ['', 'unknown']) await bench.redis.zincrby(bench.keys.finishedBytes(SHARD), more, payer);
  await bench.endRetention(id);
  expect(await due().claim(GRANT)).toMatchObject({ forgotten: 1 });
  expect(await bench.redis.exists(bench.keys.payload(SHARD, id))).toBe(0);
  const rest = await storedMessage(bench.redis, key);
  expect(rest).toMatchObject({ form: '1', status: 'replayed', payload: '' });
  expect(await bench.redis.zscore(bench.keys.finishedBytes(SHARD), '')).toBe(rest['bytes']);
  expect(Number(rest['bytes'])).toBe(Number(bytes) - size - answer_line.length - 1);
});

describe('the Idempotency-Key of a message', () => {
  const message = (responseTimeoutMs?: number): Partial<MintedMessage> => ({ idempotencyKey: 'k', responseTimeoutMs });

  it('belongs to one response timeout', async () => {
    await bench.accepted(message(1000));
    expect(await bench.accept(message(1000))).toMatchObject({ kind: 'accepted', replayed: true });
    expect(await bench.accept(message(2000))).toEqual({ kind: 'mismatch' });
    expect(await bench.accept(message())).toEqual({ kind: 'mismatch' });
  });

  it('matches what was stored before there were response timeouts', async () => {
    await bench.accepted(message());
    // The digest of ["rhc:work","{\"a\":1}",600000,"hold"], as releases without response timeouts wrote it.
    expect(await bench.redis.hget(bench.keys.idempotency(SHARD, CLIENT, 'k'), 'fingerprint')).toBe(
      'm-WU6JldZ__22fVL67hewn6viPqzOKTqzpAd6CDzApA',
    );
  });
});
