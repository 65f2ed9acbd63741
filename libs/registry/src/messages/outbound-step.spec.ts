import { withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import type { ClaimedMessage, OutboundState, OutboundStep, PublishResult } from './outbound-work.js';

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
  await bench.redis.zadd(bench.keys.ready(SHARD), 0, id);
}

/** Accepts a message for each of these clients, while nobody owns the outbound side. */
async function accept(...ids: string[]): Promise<void> {
  const { outcomes } = await bench.messages.accept(
    SHARD,
    ids.map((id) => bench.minted({ clientId: id })),
  );
  expect(outcomes.map(({ kind }) => kind)).toEqual(ids.map(() => 'accepted'));
}

async function step(room: OutboundState['room'], results: PublishResult[] = []): Promise<OutboundStep> {
  return bench.step({ room, results }, SHARD);
}

/** A new owner takes over what is claimed. */
async function takeOver(room: number): Promise<OutboundStep> {
  const { clientIds } = await bench.owning((grant) => bench.work.takeOver(grant), SHARD);
  return step(
    room,
    clientIds.map((clientId) => ({ clientId, outcome: 'unwritten' })),
  );
}

function clientsOf({ claimed }: OutboundStep): string[] {
  return claimed.map(({ clientId }) => clientId);
}

function attemptsOf({ claimed }: OutboundStep): [clientId: string, attempt: number][] {
  return claimed.map(({ clientId, attempt }): [string, number] => [clientId, attempt]).toSorted();
}

function sent({ clientId, messageId, attempt }: ClaimedMessage): PublishResult {
  return { clientId, messageId, attempt, outcome: 'sent' };
}

function noSubscribers({ clientId, messageId, attempt }: ClaimedMessage): PublishResult {
  return { clientId, messageId, attempt, outcome: 'no-subscribers' };
}

function claimFor({ claimed }: OutboundStep, id: string): ClaimedMessage {
  const message = claimed.find(({ clientId }) => clientId === id);
  if (message === undefined) throw new Error(`no message was claimed for ${id}`);
  return message;
}

async function statusOf({ messageId }: ClaimedMessage): Promise<string | undefined> {
  return (await bench.messages.read(messageId))?.status;
}

describe('a step', () => {
  it('takes ready connections in the order in which they became ready, as many as there is room for', async () => {
    for (const id of ['c', 'a', 'e', 'b']) await accept(id);
    const first = await step(2);
    expect(clientsOf(first)).toEqual(['c', 'a']);
    const next = await step(1, [sent(claimFor(first, 'a'))]);
    expect([clientsOf(next), next.left.empty, next.inFlight]).toEqual([['e'], 1, 2]);
    expect(await bench.redis.zrange(bench.keys.ready(SHARD), '0', '-1')).toEqual(['b']);
  });

  it('claims payloads of about 16 MiB, and leaves the others to the next steps', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `large-${String(i).padStart(2, '0')}`);
    const payloadJson = `"${'x'.repeat(999_998)}"`;
    for (const id of ids) {
      await bench.become('online', { clientId: id });
      await bench.messages.accept(SHARD, [bench.minted({ clientId: id, payloadJson })]);
    }
    const first = await step(50);
    expect([first.claimed.length, first.left.interrupted, first.readyInMs]).toEqual([17, 23, 0]);
    // The first message stays in flight during the next steps.
    const [pending, ...published] = first.claimed as [ClaimedMessage, ...ClaimedMessage[]];
    const second = await step(49, published.map(sent));
    expect([second.claimed.length, second.left.interrupted]).toEqual([17, 6]);
    const third = await step(49, second.claimed.map(sent));
    expect([first, second, third].flatMap((one) => clientsOf(one)).toSorted()).toEqual(ids);
    const last = await step(50, [pending, ...third.claimed].map(sent));
    expect(last).toMatchObject({ claimed: [], inFlight: 0, readyInMs: undefined });
  });

  it('leaves no key behind when nothing is left', async () => {
    await accept(...CLIENTS);
    const { claimed } = await step(10);
    const last = await step(10, claimed.map(sent));
    expect(last).toMatchObject({ claimed: [], inFlight: 0, unread: 0, left: { empty: CLIENTS.length } });
    expect(last.readyInMs).toBeUndefined();
    const { keys } = bench;
    const traces = [keys.ready(SHARD), keys.claimed(SHARD), keys.claims(SHARD), keys.todo(SHARD), keys.expiry(SHARD)];
    expect(await bench.redis.exists(...traces)).toBe(0);
  });

  it('claims the next message of completed connections, and takes no more connections than there is room for', async () => {
    await accept('a', 'a', 'b');
    const first = await step(1);
    const next = await step(0, first.claimed.map(sent));
    expect(clientsOf(next)).toEqual(['a']);
    expect(await step(0, next.claimed.map(sent))).toMatchObject({ claimed: [], inFlight: 0, readyInMs: 0 });
    expect(clientsOf(await step(1))).toEqual(['b']);
  });

  it('leaves completed connections ready if none may go on', async () => {
    await accept('a', 'a', 'b', 'c');
    const first = await step(2);
    const last = await step('none-goes-on', first.claimed.map(sent));
    expect(last).toMatchObject({ claimed: [], inFlight: 0, left: { interrupted: 1, empty: 1 } });
    expect(await bench.redis.exists(bench.keys.claimed(SHARD))).toBe(0);
    expect(clientsOf(await step(10))).toEqual(['c', 'a']);
  });

  it('claims a message again that could not be written', async () => {
    await accept('a');
    await step(10);
    const again = await step(0, [{ clientId: 'a', outcome: 'unwritten' }]);
    expect(claimFor(again, 'a').attempt).toBe(2);
  });

  it('does not confuse client ids with names of its variables', async () => {
    const odd = ['ready', 'id', 'claimed', '__index', '1', ''];
    for (const id of odd) await bench.become('online', { clientId: id });
    await accept(...odd);
    expect(clientsOf(await step(10)).toSorted()).toEqual(odd.toSorted());
    expect(await bench.redis.zcard(bench.keys.expiry(SHARD))).toBe(odd.length);
  });
});

describe('a new owner', () => {
  it('takes over the connections of an earlier owner, under the same message ids', async () => {
    await accept('a', 'b', 'c');
    const dead = await step(2);
    const next = await takeOver(10);
    expect(attemptsOf(next)).toEqual([
      ['a', 2],
      ['b', 2],
      ['c', 1],
    ]);
    for (const id of ['a', 'b']) expect(claimFor(next, id).messageId).toBe(claimFor(dead, id).messageId);
  });
});

describe('a step that is repeated because its reply was lost', () => {
  it('claims the messages again that it has claimed, and completes nothing twice', async () => {
    await accept('a', 'a', 'b', 'c');
    const first = await step(1);
    const results = first.claimed.map(sent);
    expect(attemptsOf(await step(2, results))).toEqual([
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ]);
    const again = await step(2, results);
    expect([attemptsOf(again), again.inFlight]).toEqual([[['a', 2]], 3]);
    expect(await bench.statuses(results.map((one) => ('messageId' in one ? one.messageId : ''))[0] ?? '')).toEqual([
      'queued',
      'in_flight',
      'sent',
    ]);
    // The owner finds that more is in flight than it knows, and takes over the others.
    expect(attemptsOf(await takeOver(0))).toEqual([
      ['a', 3],
      ['b', 2],
      ['c', 2],
    ]);
  });

  it.each([false, true])(
    'leaves a connection alone that waits for a retry (client came online again: %s)',
    async (arrived) => {
      await accept('a');
      const first = await step(1);
      const results = first.claimed.map(noSubscribers);
      if (arrived) await arrive('a');
      expect(await step(0, results)).toMatchObject({ claimed: [], inFlight: 0, left: { waiting: 1 } });
      const waits = await bench.redis.zscore(bench.keys.ready(SHARD), 'a');
      expect(await step(0, results)).toMatchObject({ claimed: [], inFlight: 0 });
      expect(await bench.redis.zscore(bench.keys.ready(SHARD), 'a')).toBe(waits);
      expect(await statusOf(claimFor(first, 'a'))).toBe('held');
    },
  );

  it('leaves a connection alone that was left empty, and for which a message has been accepted since', async () => {
    await accept('a');
    const results = (await step(1)).claimed.map(sent);
    expect((await step(0, results)).left.empty).toBe(1);
    await accept('a');
    expect(await step(0, results)).toMatchObject({ claimed: [], inFlight: 0 });
    expect(attemptsOf(await step(5))).toEqual([['a', 1]]);
  });

  it('counts a connection once that it had left, and that another step has taken since', async () => {
    await accept('a', 'a');
    const results = (await step(1)).claimed.map(sent);
    await step('none-goes-on', results);
    expect(await step('none-goes-on', results)).toMatchObject({ claimed: [], inFlight: 0 });
    expect(await step(5)).toMatchObject({ inFlight: 1 });
    expect(await bench.redis.exists(bench.keys.ready(SHARD))).toBe(0);
  });
});

describe('a connection that waits for a retry', () => {
  async function withoutSubscribers(...ids: string[]): Promise<OutboundStep> {
    await accept(...ids);
    const { claimed } = await step(10);
    return step(10, claimed.map(noSubscribers));
  }

  it('becomes ready when its back-off has ended, which the owner is told', async () => {
    const left = await withoutSubscribers('a', 'b');
    expect(left).toMatchObject({ claimed: [], inFlight: 0, left: { waiting: 2 } });
    expect(left.readyInMs).toBeGreaterThan(0);
    expect(left.readyInMs).toBeLessThanOrEqual(1000);
    // As if the back-off had a minute left, and that of one client had ended.
    const inAMinute = ((await bench.now()) + 60_000) * 1000;
    await bench.redis.zadd(bench.keys.ready(SHARD), inAMinute, 'a', 1, 'b');
    const next = await step(10);
    expect(clientsOf(next)).toEqual(['b']);
    expect(next.readyInMs).toBeGreaterThan(1000);
  });

  it('does not delay other clients of the shard', async () => {
    await withoutSubscribers('a');
    await accept('b');
    expect(clientsOf(await step(10))).toEqual(['b']);
  });

  it('is retried at once if a message is accepted for it', async () => {
    await withoutSubscribers('a');
    await accept('a');
    expect(clientsOf(await step(10))).toEqual(['a']);
  });

  it('is retried at once if it came online during the attempt', async () => {
    await accept('a');
    const first = await step(10);
    await arrive('a');
    const next = await step(1, first.claimed.map(noSubscribers));
    expect(claimFor(next, 'a')).toMatchObject({ messageId: claimFor(first, 'a').messageId, attempt: 2 });
  });

  it('is retried at once if it came online during the attempt, even after another step', async () => {
    await accept('a', 'b');
    const first = await step(10);
    await arrive('a');
    const between = await step(5, [sent(claimFor(first, 'b'))]);
    expect(between).toMatchObject({ claimed: [], readyInMs: undefined });
    const next = await step(5, [noSubscribers(claimFor(first, 'a'))]);
    expect(claimFor(next, 'a').attempt).toBe(2);
  });
});
