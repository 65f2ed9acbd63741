import { newMessageId } from '@app/protocol';
import { StaleOwnerError } from '@app/sharding';
import {
  SHARD,
  claimed,
  withMessages,
  type Served,
  type MessageBench,
} from '../../../../test/support/message-bench.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(() => bench.become('online'));

describe('completing a publish', () => {
  it('as failed finishes the message with its details and claims the next one', async () => {
    const [refused, next] = [await bench.add(), await bench.add()];
    await bench.claim();
    const step = await bench.complete({
      messageId: refused,
      attempt: 1,
      outcome: 'failed',
      details: 'not authorized',
    });
    expect(claimed(step).messageId).toBe(next);
    expect((await bench.messages.read(refused))?.history.at(-1)).toMatchObject({
      status: 'failed',
      details: 'not authorized',
    });
    expect(await bench.outbox()).toEqual([next]);
    expect(await bench.redis.zscore(bench.keys.expiry(SHARD), refused)).toBeNull();
  });

  it.each(['no-subscribers', 'retry'] as const)(
    'as %s keeps the message at the head of the outbox for a retry',
    async (outcome) => {
      const [id, next] = [await bench.add(), await bench.add()];
      await bench.claim();
      const step = await bench.complete({ messageId: id, attempt: 1, outcome, details: 'why' });
      expect(step).toEqual({ kind: 'waiting' });
      expect(await bench.outbox()).toEqual([id, next]);
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
      expect(await bench.redis.zscore(bench.keys.expiry(SHARD), id)).not.toBeNull();
      expect((await bench.claim()).messageId).toBe(id);
    },
  );

  it.each([
    ['control characters', `a\nb\tc ${'x'.repeat(10_000)}`, /^a b c x{994}$/],
    ['characters beyond the basic plane', `a${'😀'.repeat(10_000)}`, /^a😀{499}\ufffd$/u],
  ])('stores the details of a retry in the history as one truncated line: %s', async (_, details, kept) => {
    const id = await bench.add();
    await bench.claim();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'retry', details });
    const history = (await bench.messages.read(id))?.history ?? [];
    expect(history.map(({ status }) => status)).toEqual(['queued', 'in_flight', 'queued']);
    expect(history[2]?.details).toMatch(kept);
  });

  it.each(['no-subscribers', 'retry'] as const)(
    'as %s doubles the back-off from a second to a minute',
    async (outcome) => {
      const id = await bench.add();
      const waits: number[] = [];
      for (let i = 0; i < 30; i++) {
        const { attempt } = await bench.claim();
        const step = await bench.complete({ messageId: id, attempt, outcome, details: 'why' });
        expect(step).toEqual({ kind: 'waiting' });
        waits.push(await bench.readyInMs());
      }
      const capped = Array.from({ length: 24 }, () => 60_000);
      const wanted = [1000, 2000, 4000, 8000, 16_000, 32_000, ...capped];
      expect(waits.map((ms) => Math.round(ms / 1000) * 1000)).toEqual(wanted);
    },
  );

  it('starts the next message with a short back-off', async () => {
    const [first, second] = [await bench.add(), await bench.add()];
    for (let i = 0; i < 5; i++) {
      const { attempt } = await bench.claim();
      await bench.complete({ messageId: first, attempt, outcome: 'no-subscribers' });
    }
    const { attempt } = await bench.claim();
    await bench.complete({ messageId: first, attempt, outcome: 'sent' });
    const step = await bench.complete({ messageId: second, attempt: 1, outcome: 'no-subscribers' });
    expect(step).toEqual({ kind: 'waiting' });
  });

  it('twice has the same effect as once', async () => {
    const [first, second, third] = [await bench.add(), await bench.add(), await bench.add()];
    await bench.claim();
    const complete = (): Promise<Served> => bench.complete({ messageId: first, attempt: 1, outcome: 'sent' });
    expect(claimed(await complete()).messageId).toBe(second);
    expect(claimed(await complete()).messageId).toBe(second);
    expect(await bench.statuses(first)).toEqual(['queued', 'in_flight', 'sent']);
    expect(await bench.outbox()).toEqual([second, third]);
  });

  it('as sent counts for whichever attempt it is, because it is certain', async () => {
    const [first, second] = [await bench.add(), await bench.add()];
    const old = await bench.claim();
    expect((await bench.claim()).attempt).toBe(2);
    const step = await bench.complete({ ...old, outcome: 'sent' });
    expect(claimed(step)).toMatchObject({ messageId: second, attempt: 1 });
    expect(await bench.statuses(first)).toEqual(['queued', 'in_flight', 'sent']);
  });

  it.each(['no-subscribers', 'retry', 'failed'] as const)(
    'as %s of an earlier attempt than the last changes nothing, and the message is claimed again',
    async (outcome) => {
      const id = await bench.add();
      const old = await bench.claim();
      await bench.claim();
      const step = await bench.complete({ ...old, outcome, details: 'x' });
      expect(claimed(step)).toMatchObject({ messageId: id, attempt: 3 });
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight']);
    },
  );

  it.each(['sent', 'no-subscribers', 'retry', 'failed'] as const)(
    'as %s by a former owner is refused, and the new owner continues',
    async (outcome) => {
      const id = await bench.add();
      const old = await bench.claim();
      const young = await bench.claim();
      await expect(bench.asFormerOwner({ ...old, outcome, details: 'x' })).rejects.toThrow(StaleOwnerError);
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight']);
      await bench.complete({ ...young, outcome: 'sent' });
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'sent']);
    },
  );

  it('of an unknown message changes nothing and creates no record', async () => {
    const id = await bench.add();
    for (const outcome of ['sent', 'no-subscribers', 'failed', 'retry'] as const) {
      const unknown = newMessageId(SHARD);
      const step = await bench.complete({ messageId: unknown, attempt: 1, outcome, details: 'why' });
      expect(claimed(step).messageId).toBe(id);
      expect(await bench.redis.exists(bench.keys.message(SHARD, unknown))).toBe(0);
    }
    expect(await bench.outbox()).toEqual([id]);
  });
});
