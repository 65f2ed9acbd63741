import fc from 'fast-check';
import type { Redis } from '@app/platform';
import { CLIENT, SHARD } from '../../../test/support/message-bench.js';
import { COUNT, step } from '../../../test/support/message-steps.js';
import { FINAL, World } from '../../../test/support/message-world.js';
import { withRedis } from '../../../test/support/redis.js';
import { storedMessage } from '../../../test/support/stored-message.js';
import { MESSAGE_STATUSES, STORED_STATUSES, TRANSITIONS } from './message-status.js';

let redis: Redis;

withRedis((connection) => (redis = connection));

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
        const world = new World(redis);
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
        const world = new World(redis);
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
    const world = new World(redis);
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
