import { withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { eventually } from '../../../../test/support/servers.js';
import type { ClaimedMessage, DrainStep, Settlement } from './outbox.js';
import { WAKE_TODO } from './wake-todo.js';

const SHARD = 0;
const CLIENTS = ['a', 'b', 'c', 'd', 'e'];

let bench: MessageBench;

withMessages((begun) => (bench = begun), { shardCount: 1 });

beforeEach(async () => {
  for (const id of CLIENTS) await bench.become('online', { clientId: id });
});

/** Stores a client that has just come online, as the commit of its handshake does. */
async function arrive(id: string): Promise<void> {
  await bench.become('online', { clientId: id });
  await bench.redis.zadd(bench.keys.woken(SHARD), 0, id);
}

/** Accepts a message for each of these clients. @returns whether the caller must wake a dispatcher */
async function accept(...ids: string[]): Promise<boolean> {
  const { outcomes, wake } = await bench.messages.accept(
    SHARD,
    ids.map((id) => bench.minted({ clientId: id })),
  );
  expect(outcomes.map(({ kind }) => kind)).toEqual(ids.map(() => 'accepted'));
  return wake;
}

async function begin(room = 10, settlements: Settlement[] = []): Promise<DrainStep> {
  return bench.outboxes.step(SHARD, { run: undefined, underWay: 0, room, settlements });
}

function clientsOf({ claimed }: DrainStep): string[] {
  return claimed.map(({ clientId }) => clientId);
}

function claimOf({
  clientId,
  messageId,
  attempt,
}: ClaimedMessage): Pick<ClaimedMessage, 'clientId' | 'messageId' | 'attempt'> {
  return { clientId, messageId, attempt };
}

function sent(message: ClaimedMessage): Settlement {
  return { ...claimOf(message), outcome: 'sent' };
}

function claimFor(step: DrainStep, id: string): ClaimedMessage {
  const message = step.claimed.find(({ clientId }) => clientId === id);
  if (message === undefined) throw new Error(`no message was claimed for ${id}`);
  return message;
}

async function statusOf({ messageId }: ClaimedMessage): Promise<string | undefined> {
  return (await bench.messages.read(messageId))?.status;
}

describe('a drain run', () => {
  it('takes ready connections in the order of their wake-ups, as many as there is room for', async () => {
    for (const id of ['c', 'a', 'e', 'b']) await accept(id);
    const first = await begin(2);
    expect([first.kind, clientsOf(first)]).toEqual(['draining', ['c', 'a']]);
    const next = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 1,
      settlements: [sent(claimFor(first, 'a'))],
    });
    expect([clientsOf(next), next.ends.empty]).toEqual([['e'], 1]);
    expect(await bench.redis.zrange(bench.keys.woken(SHARD), '0', '-1')).toEqual(['b']);
  });

  it('claims payloads of about 16 MiB in one step, and the others in the next steps', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `large-${String(i).padStart(2, '0')}`);
    const payloadJson = `"${'x'.repeat(999_998)}"`;
    for (const id of ids) {
      await bench.become('online', { clientId: id });
      await bench.messages.accept(SHARD, [bench.minted({ clientId: id, payloadJson })]);
    }
    const first = await begin(50);
    expect([first.kind, first.claimed.length, first.ends.interrupted]).toEqual(['draining', 17, 23]);
    // The first message stays in flight during the next steps.
    const [, ...settled] = first.claimed;
    const second = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 49,
      settlements: settled.map(sent),
    });
    expect([second.kind, second.claimed.length]).toEqual(['draining', 17]);
    const third = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 49,
      settlements: second.claimed.map(sent),
    });
    const claimed = [first, second, third].flatMap((step) => clientsOf(step));
    expect(claimed.toSorted()).toEqual(ids);
    const last = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 0,
      room: 50,
      settlements: [...first.claimed.slice(0, 1), ...third.claimed].map(sent),
    });
    expect([last.kind, last.claimed]).toEqual(['idle', []]);
  });

  it('is idle when nothing is left, and leaves no key behind', async () => {
    await accept(...CLIENTS);
    const { run, claimed } = await begin();
    const last = await bench.outboxes.step(SHARD, { run, underWay: 0, room: 10, settlements: claimed.map(sent) });
    expect(last).toMatchObject({ kind: 'idle', claimed: [], ends: { empty: CLIENTS.length } });
    expect(await bench.redis.exists(bench.keys.woken(SHARD), bench.keys.draining(SHARD), bench.keys.todo(SHARD))).toBe(
      0,
    );
  });

  it('claims the next message of completed connections, and takes no more connections than there is room for', async () => {
    await accept('a', 'a', 'b');
    const first = await begin(1);
    const next = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 0,
      room: 0,
      settlements: first.claimed.map(sent),
    });
    expect([next.kind, clientsOf(next)]).toEqual(['draining', ['a']]);
    const last = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 0,
      room: 0,
      settlements: next.claimed.map(sent),
    });
    expect([last.kind, last.claimed]).toEqual(['draining', []]);
    expect(
      clientsOf(await bench.outboxes.step(SHARD, { run: first.run, underWay: 0, room: 1, settlements: [] })),
    ).toEqual(['b']);
  });

  it('takes over the connections of an earlier run, under the same message ids', async () => {
    await accept('a', 'b', 'c');
    const dead = await begin(2);
    const next = await begin(10);
    expect(clientsOf(next).toSorted()).toEqual(['a', 'b', 'c']);
    expect(claimFor(next, 'a')).toMatchObject({ messageId: claimFor(dead, 'a').messageId, attempt: 2 });
    expect(claimFor(next, 'c').attempt).toBe(1);
  });

  it('is superseded by a newer run, but its sent messages are completed', async () => {
    await accept('a', 'b', 'c');
    const old = await begin(2);
    const young = await begin(0);
    const [a, b] = [claimFor(old, 'a'), claimFor(old, 'b')];
    const step = await bench.outboxes.step(SHARD, {
      ...{ run: old.run, underWay: 0, room: 5 },
      settlements: [sent(a), { ...claimOf(b), outcome: 'failed', details: 'x' }],
    });
    expect(step).toMatchObject({ kind: 'superseded', claimed: [] });
    expect([await statusOf(a), await statusOf(b)]).toEqual(['sent', 'in_flight']);
    expect(await bench.redis.zrange(bench.keys.woken(SHARD), '0', '-1')).toEqual(['c']);
    const last = await bench.outboxes.step(SHARD, {
      run: young.run,
      underWay: 0,
      room: 0,
      settlements: young.claimed.map(sent),
    });
    expect(last.ends.empty).toBe(2);
  });

  it('detects that the reply to a step was lost and changes nothing, and a new run continues', async () => {
    await accept('a', 'a', 'b', 'c');
    const first = await begin(1);
    const state = { run: first.run, underWay: 0, room: 2, settlements: first.claimed.map(sent) };
    const unseen = await bench.outboxes.step(SHARD, state);
    expect(clientsOf(unseen)).toEqual(['a', 'b', 'c']);
    expect(await bench.outboxes.step(SHARD, state)).toMatchObject({ kind: 'lost', claimed: [] });
    expect(await bench.redis.smembers(bench.keys.draining(SHARD))).toHaveLength(3);
    const restarted = await begin(0, state.settlements);
    expect(restarted.claimed.map(({ clientId, attempt }) => [clientId, attempt]).toSorted()).toEqual([
      ['a', 2],
      ['b', 2],
      ['c', 2],
    ]);
    expect(await statusOf(claimFor(first, 'a'))).toBe('sent');
  });

  it.each([false, true])(
    'does not claim a message that waits for a retry after a restart (client came online again: %s)',
    async (arrived) => {
      await accept('a', 'b');
      const first = await begin(1);
      if (arrived) await arrive('a');
      const settlements: Settlement[] = [{ ...claimOf(claimFor(first, 'a')), outcome: 'no-subscribers' }];
      const restarted = await begin(5, settlements);
      expect(restarted.claimed.map(({ clientId, attempt }) => [clientId, attempt]).toSorted()).toEqual(
        arrived
          ? [
              ['a', 2],
              ['b', 1],
            ]
          : [['b', 1]],
      );
      expect((await bench.redis.smembers(bench.keys.draining(SHARD))).toSorted()).toEqual(arrived ? ['a', 'b'] : ['b']);
    },
  );

  it('detects a lost reply even if as many connections were released as were taken', async () => {
    await accept('a', 'b');
    const first = await begin(1);
    const state = { run: first.run, underWay: 0, room: 1, settlements: first.claimed.map(sent) };
    expect(clientsOf(await bench.outboxes.step(SHARD, state))).toEqual(['b']);
    expect((await bench.outboxes.step(SHARD, state)).kind).toBe('lost');
  });

  it('claims a message again if the first claim arrived too late', async () => {
    await accept('a');
    const { run } = await begin();
    const step = await bench.outboxes.step(SHARD, {
      run,
      underWay: 0,
      room: 0,
      settlements: [{ clientId: 'a', outcome: 'late' }],
    });
    expect(claimFor(step, 'a').attempt).toBe(2);
  });

  it('releases completed connections for the next run when it is about to end', async () => {
    await accept('a', 'a', 'b', 'c');
    const first = await begin(2);
    const last = await bench.outboxes.step(SHARD, {
      ...{ run: first.run, underWay: 0, room: 'none-goes-on' },
      settlements: first.claimed.map(sent),
    });
    expect(last).toMatchObject({ kind: 'draining', claimed: [], ends: { interrupted: 1, empty: 1 } });
    expect(await bench.redis.exists(bench.keys.draining(SHARD))).toBe(0);
    const next = await begin();
    expect(clientsOf(next)).toEqual(['c', 'a']);
  });
});

describe('a client that waits for a retry', () => {
  async function withoutSubscribers(...ids: string[]): Promise<DrainStep> {
    await accept(...ids);
    const { run, claimed } = await begin();
    const settlements = claimed.map((message): Settlement => ({ ...claimOf(message), outcome: 'no-subscribers' }));
    return bench.outboxes.step(SHARD, { run, underWay: 0, room: 10, settlements });
  }

  it('waits until a to-do wakes a dispatcher for the shard', async () => {
    expect(await withoutSubscribers('a', 'b')).toMatchObject({ kind: 'idle', ends: { waiting: 2 } });
    expect(await begin()).toMatchObject({ kind: 'idle', claimed: [] });
    const [, first] = await bench.redis.zrange(bench.keys.woken(SHARD), '0', '0', 'WITHSCORES');
    expect(await bench.redis.zscore(bench.keys.todo(SHARD), WAKE_TODO)).toBe(`${Math.ceil(Number(first) / 1000)}`);
    // As if the back-off of one client had ended.
    await bench.redis.zadd(bench.keys.woken(SHARD), 1, 'b');
    expect(clientsOf(await begin())).toEqual(['b']);
  });

  it('does not delay other clients of the shard', async () => {
    await withoutSubscribers('a');
    expect(await accept('b')).toBe(true);
    expect(clientsOf(await begin())).toEqual(['b']);
  });

  it('is retried at once if a message is accepted for it', async () => {
    await withoutSubscribers('a');
    expect(await accept('a')).toBe(true);
    expect(clientsOf(await begin())).toEqual(['a']);
  });

  it('is retried at once if it came online during the attempt', async () => {
    await accept('a');
    const first = await begin();
    await arrive('a');
    const [message] = first.claimed as [ClaimedMessage];
    const settlements: Settlement[] = [{ ...claimOf(message), outcome: 'no-subscribers' }];
    const step = await bench.outboxes.step(SHARD, { run: first.run, underWay: 0, room: 1, settlements });
    expect(claimFor(step, 'a')).toMatchObject({ messageId: message.messageId, attempt: 2 });
  });

  it('is retried at once if it came online during the attempt, even after another step', async () => {
    await accept('a', 'b');
    const first = await begin();
    await arrive('a');
    const between = await bench.outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 5,
      settlements: [sent(claimFor(first, 'b'))],
    });
    expect(between.claimed).toEqual([]);
    const settlements: Settlement[] = [{ ...claimOf(claimFor(first, 'a')), outcome: 'no-subscribers' }];
    const step = await bench.outboxes.step(SHARD, { run: first.run, underWay: 0, room: 5, settlements });
    expect(claimFor(step, 'a').attempt).toBe(2);
  });
});

describe('accepting a message', () => {
  it('asks for a dispatcher if none drains the shard and no wake-up is pending', async () => {
    expect(await accept('a')).toBe(true);
    expect(await accept('b')).toBe(false);
    const { run, claimed } = await begin();
    expect(await accept('c')).toBe(false);
    const step = await bench.outboxes.step(SHARD, { run, underWay: 0, room: 9, settlements: claimed.map(sent) });
    expect(clientsOf(step)).toEqual(['c']);
    const last = await bench.outboxes.step(SHARD, { run, underWay: 0, room: 9, settlements: step.claimed.map(sent) });
    expect(last.kind).toBe('idle');
    expect(await accept('d')).toBe(true);
  });

  it('asks for a dispatcher again if the first wake-up was not enqueued within a second', async () => {
    expect(await accept('a')).toBe(true);
    const left = await bench.redis.pttl(bench.keys.waking(SHARD));
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(1000);
    await eventually('the wake lock has expired', async () =>
      expect(await bench.redis.exists(bench.keys.waking(SHARD))).toBe(0),
    );
    expect(await accept('b')).toBe(true);
  });

  it.each([undefined, 'key'])(
    'asks for a dispatcher again if it is repeated after a lost reply (Idempotency-Key: %s)',
    async (key) => {
      const message = bench.minted({ clientId: 'a', idempotencyKey: key });
      expect((await bench.messages.accept(SHARD, [message])).wake).toBe(true);
      expect((await bench.messages.accept(SHARD, [message])).wake).toBe(true);
    },
  );

  it('asks for a dispatcher again if it is repeated together with other messages', async () => {
    await bench.become('offline', { clientId: 'b' });
    const both = [bench.minted({ clientId: 'a' }), bench.minted({ clientId: 'b' })];
    expect((await bench.messages.accept(SHARD, both)).wake).toBe(true);
    expect((await bench.messages.accept(SHARD, both)).wake).toBe(true);
  });

  it('does not confuse client ids with names of its variables', async () => {
    const odd = ['woken', 'id', 'draining', '__index', '1'];
    for (const id of odd) await bench.become('online', { clientId: id });
    expect(await accept(...odd)).toBe(true);
    expect(clientsOf(await begin()).toSorted()).toEqual(odd.toSorted());
    expect(await bench.redis.zcard(bench.keys.expiry(SHARD))).toBe(odd.length);
  });

  it('asks for no dispatcher for offline clients and refused messages', async () => {
    await bench.become('offline', { clientId: 'a' });
    const { outcomes, wake } = await bench.messages.accept(SHARD, [
      bench.minted({ clientId: 'a' }),
      bench.minted({ clientId: 'nobody' }),
    ]);
    expect([outcomes.map(({ kind }) => kind), wake]).toEqual([['accepted', 'building'], false]);
    expect(await bench.redis.exists(bench.keys.woken(SHARD), bench.keys.waking(SHARD), bench.keys.todo(SHARD))).toBe(0);
  });
});
