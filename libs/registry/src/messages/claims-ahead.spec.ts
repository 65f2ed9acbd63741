/** Messages of a busy connection that its owner claims behind the one that is being published. */
import {
  CLIENT,
  GRANT,
  OUTBOUND,
  SHARD,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { storedMessage } from '../../../../test/support/stored-message.js';
import { DueTodos } from '../todos/due-work.js';
import type { ClaimedMessage, OutboundState, OutboundStep, PublishResult } from './outbound-work.js';

/** Messages of a connection that may be in flight, and messages that one step claims ahead. */
const [IN_FLIGHT, AHEAD] = [16, 500];

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(() => bench.become('online'));

async function addSome(count: number, payloadJson = '1'): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push(await bench.add({ payloadJson }));
  return ids;
}

/** The connection is busy: its first message was sent, and what follows is claimed. */
async function busy(count: number): Promise<{ ids: string[]; held: ClaimedMessage[] }> {
  const [first = '', ...ids] = await addSome(count + 1);
  const { attempt } = await bench.claim();
  const { claimed: held } = await step([{ clientId: CLIENT, messageId: first, attempt, outcome: 'sent' }]);
  return { ids, held };
}

/** A step of the owner; `last`: the last message that it still holds. */
async function step(
  results: PublishResult[],
  last?: ClaimedMessage,
  room: OutboundState['room'] = 0,
): Promise<OutboundStep> {
  return bench.step({ room, results, ...(last && { lastClaimed: new Map([[CLIENT, last.messageId]]) }) });
}

function resultOf(
  { clientId, messageId, attempt }: ClaimedMessage,
  outcome: PublishResult['outcome'],
  publishedAt?: number,
): PublishResult {
  return { clientId, messageId, attempt, outcome, details: 'why', ...(publishedAt && { publishedAt }) };
}

function sent(message: ClaimedMessage, publishedAt?: number): PublishResult {
  return resultOf(message, 'sent', publishedAt);
}

function idsOf({ claimed }: OutboundStep): string[] {
  return claimed.map(({ messageId }) => messageId);
}

async function status(id = ''): Promise<string | undefined> {
  return (await bench.messages.read(id))?.status;
}

async function expectTraces(ids: readonly string[], statuses: readonly string[]): Promise<void> {
  for (const id of ids) {
    expect(await bench.statuses(id)).toEqual(statuses);
    expect(await bench.eventsOf(id)).toEqual(statuses);
  }
}

/** As if these messages had never been claimed. */
async function expectNoTrace(ids: readonly string[]): Promise<void> {
  await expectTraces(ids, ['queued']);
  for (const id of ids) {
    expect(await status(id)).toBe('queued');
    expect(await storedMessage(bench.redis, bench.keys.message(SHARD, id))).toMatchObject({ attempts: '0' });
  }
}

describe('a step that completes a message as sent', () => {
  it('claims the messages that follow, so that 16 are in flight, without a line in their histories or an event', async () => {
    const { ids, held } = await busy(20);
    expect(held.map(({ messageId }) => messageId)).toEqual(ids.slice(0, IN_FLIGHT));
    expect(held.map(({ attempt, isFollowed }) => [attempt, isFollowed])).toEqual(held.map(() => [1, true]));
    for (const [i, id] of ids.entries()) expect(await status(id)).toBe(i < IN_FLIGHT ? 'in_flight' : 'queued');
    await expectTraces(ids.slice(0, 1), ['queued', 'in_flight']);
    await expectTraces(ids.slice(1), ['queued']);
  });

  it('claims nothing ahead for a connection that was taken from the ready ones', async () => {
    const ids = await addSome(3);
    const taken = await bench.claim();
    expect(taken.messageId).toBe(ids[0]);
    expect(await status(ids[1])).toBe('queued');
  });

  it('claims behind what the owner still holds, and leaves the connection to it', async () => {
    const { ids, held } = await busy(30);
    const next = await step(
      held.slice(0, 5).map((one) => sent(one)),
      held.at(-1),
    );
    expect(idsOf(next)).toEqual(ids.slice(IN_FLIGHT, IN_FLIGHT + 5));
    expect([next.inFlight, next.stopped]).toEqual([1, []]);
  });

  it('says of the last message whether another one waits behind it', async () => {
    const { held } = await busy(3);
    expect(held.map(({ isFollowed }) => isFollowed)).toEqual([true, true, false]);
  });

  it('claims payloads of 256 KiB ahead, and no more than 500 messages of all connections', async () => {
    const [first = '', ...ids] = await addSome(5, `"${'x'.repeat(100_000)}"`);
    const { attempt } = await bench.claim();
    const { claimed } = await step([{ clientId: CLIENT, messageId: first, attempt, outcome: 'sent' }]);
    expect(claimed.map(({ messageId }) => messageId)).toEqual(ids.slice(0, 3));
    const others = Array.from({ length: 40 }, (_, i) => neighbour(`other-${i}`));
    const results: PublishResult[] = [];
    for (const clientId of others) {
      await bench.become('online', { clientId });
      const { outcomes } = await bench.messages.accept(
        SHARD,
        Array.from({ length: 20 }, () => bench.minted({ clientId })),
      );
      expect(outcomes).toHaveLength(20);
    }
    const taken = await bench.step({ room: others.length });
    results.push(...taken.claimed.map((one) => sent(one)));
    expect(results).toHaveLength(others.length);
    const next = await bench.step({ results });
    expect(next.claimed).toHaveLength(others.length + AHEAD);
  });

  it('leaves out what cannot be published: the claim of the head deals with it', async () => {
    await bench.become('online', { account: 'a' });
    const ids = [await bench.add(), await bench.add(), await bench.add()];
    await bench.become('online', { account: 'b' });
    const ofOthers = [await bench.add(), await bench.add()];
    await bench.become('online', { account: 'a' });
    const { claimed } = await step([sent(await bench.claim())]);
    expect(claimed.map(({ messageId }) => messageId)).toEqual(ids.slice(1));
    const next = await step(claimed.map((one) => sent(one)));
    expect(next.claimed).toEqual([]);
    await expectTraces(ofOthers, ['queued', 'failed']);
  });
});

describe('a message that is claimed ahead', () => {
  it('gets the time of its publish when it is completed, in its history and in the event', async () => {
    const { ids, held } = await busy(4);
    const at = (await bench.now()) - 1;
    const next = await step(
      held.map((one) => sent(one, at)),
      undefined,
    );
    expect(next).toMatchObject({ claimed: [], inFlight: 0, left: { empty: 1 } });
    await expectTraces(ids, ['queued', 'in_flight', 'sent']);
    const events = await bench.redis.xrange(bench.keys.events(SHARD), '-', '+');
    for (const id of ids.slice(1)) {
      const history = (await bench.messages.read(id))?.history ?? [];
      expect(history[1]?.at).toBe(at);
      const times = events
        .filter(([, [, , , event = '']]) => event.includes(id))
        .map(([, fields]) => Number(fields[1]));
      expect(times).toEqual(history.map((change) => change.at));
      expect(await storedMessage(bench.redis, bench.keys.message(SHARD, id))).toMatchObject({ attempts: '1' });
    }
  });

  it.each(['retry', 'sent', 'unwritten'] as const)(
    'is counted as in flight until it goes back or is completed (%s)',
    async (outcome) => {
      const inFlight = () => bench.redis.hget(bench.keys.outboxBytes(SHARD), 'in_flight:unknown');
      const { held } = await busy(4);
      expect(await inFlight()).toBe('4');
      const [first] = held as [ClaimedMessage];
      const last = outcome === 'sent' ? held.at(-1) : undefined;
      await step([outcome === 'unwritten' ? { ...first, outcome } : resultOf(first, outcome)], last);
      expect(await inFlight()).toBe({ retry: null, sent: '3', unwritten: '1' }[outcome]);
      await bench.owning((grant) => bench.work.release(grant, undefined), OUTBOUND.index);
      expect(await inFlight()).toBeNull();
    },
  );

  it('can no longer be cancelled', async () => {
    const { ids } = await busy(3);
    expect(await bench.messages.cancel(ids[1] ?? '')).toEqual({ kind: 'too-late', status: 'in_flight' });
    expect(await status(ids[1])).toBe('in_flight');
  });

  it.each(['no-subscribers', 'retry'] as const)(
    'goes back without a trace if the one before it ends as %s, and can be cancelled',
    async (outcome) => {
      const { ids, held } = await busy(5);
      const [first, second] = held as [ClaimedMessage, ClaimedMessage];
      expect(await step([sent(first), resultOf(second, outcome)])).toMatchObject({ claimed: [], left: { waiting: 1 } });
      expect(await bench.outbox()).toEqual(ids.slice(1));
      await expectTraces(ids.slice(2), ['queued']);
      expect((await bench.statuses(ids[1] ?? ''))?.slice(-2)).toEqual(['in_flight', 'queued']);
      expect(await bench.messages.cancel(ids[2] ?? '')).toEqual({ kind: 'cancelled' });
      expect(await bench.claim()).toMatchObject({ messageId: ids[1], attempt: 2 });
    },
  );

  it('goes back if the broker refuses the one before it, and is claimed as the head', async () => {
    const { ids, held } = await busy(4);
    const next = await step([resultOf(held[0] as ClaimedMessage, 'failed')]);
    expect(idsOf(next)).toEqual([ids[1]]);
    await expectTraces(ids.slice(1, 2), ['queued', 'in_flight']);
    await expectNoTrace(ids.slice(2));
  });

  it('that was not written since its time to live had ended expires, and those behind it go on', async () => {
    const { ids, held } = await busy(5);
    const [late = '', next = ''] = ids.slice(1);
    await bench.own();
    await bench.endTimeToLive(late);
    expect(await new DueTodos(bench.redis, bench.keys).claim(GRANT)).toBeDefined();
    expect(await status(late)).toBe('in_flight');
    const after = await step([
      sent(held[0] as ClaimedMessage),
      { clientId: CLIENT, messageId: late, outcome: 'unwritten' },
    ]);
    expect(idsOf(after)).toEqual([next]);
    await expectTraces([late], ['queued', 'expired']);
    await expectNoTrace(ids.slice(3));
  });

  it('that was not written since the lease had ended is claimed again, without a trace of the first claim', async () => {
    const { ids, held } = await busy(3);
    const [, second] = held as [ClaimedMessage, ClaimedMessage];
    const next = await step([
      sent(held[0] as ClaimedMessage),
      { clientId: CLIENT, messageId: second.messageId, outcome: 'unwritten' },
    ]);
    expect(next.claimed).toMatchObject([{ messageId: ids[1], attempt: 1 }]);
    await expectTraces(ids.slice(1, 2), ['queued', 'in_flight']);
    await expectNoTrace(ids.slice(2));
  });

  it('fails by a message-error of its client before its publish is completed, and the next ones go on', async () => {
    const { ids, held } = await busy(4);
    expect(await bench.outboxes.failByClient(CLIENT, ids[1] ?? '', 'broken')).toBe('failed');
    await expectTraces(ids.slice(1, 2), ['queued', 'in_flight', 'failed']);
    const next = await step([sent(held[0] as ClaimedMessage), sent(held[1] as ClaimedMessage)], held.at(-1));
    expect([next.claimed, next.stopped]).toEqual([[], []]);
    await expectTraces(ids.slice(1, 2), ['queued', 'in_flight', 'failed']);
    expect(await bench.outbox()).toEqual(ids.slice(2));
  });

  it('is not followed by further claims if its client has failed the last one that is held', async () => {
    const { ids, held } = await busy(20);
    expect(await bench.outboxes.failByClient(CLIENT, held.at(-1)?.messageId ?? '', 'broken')).toBe('failed');
    const next = await step([sent(held[0] as ClaimedMessage)], held.at(-1));
    expect(next.claimed).toEqual([]);
    // The owner holds nothing more.
    const last = await step(held.slice(1).map((one) => sent(one)));
    expect(idsOf(last)).toEqual(ids.slice(IN_FLIGHT));
  });

  it('goes back if the owner leaves the connection', async () => {
    const { ids, held } = await busy(4);
    const next = await step([sent(held[0] as ClaimedMessage)], undefined, 'none-goes-on');
    expect(next).toMatchObject({ claimed: [], inFlight: 0, left: { interrupted: 1 } });
    await expectNoTrace(ids.slice(1));
  });

  it('is completed by an owner that leaves the connection after the publish that is under way', async () => {
    const { ids, held } = await busy(20);
    const next = await step([sent(held[0] as ClaimedMessage)], held.at(-1), 'none-goes-on');
    expect(next).toMatchObject({ claimed: [], inFlight: 1, stopped: [] });
    await step([sent(held[1] as ClaimedMessage)], undefined, 'none-goes-on');
    expect(await bench.outbox()).toEqual(ids.slice(2));
    await expectNoTrace(ids.slice(2));
  });

  it.each<[string, string, () => Promise<unknown>]>([
    ['goes offline', 'queued', () => bench.become('offline', { account: 'a' })],
    ['moves to another account', 'failed', () => bench.become('online', { account: 'b' })],
    [
      'registers again, and its account is being requested',
      'queued',
      () => bench.redis.sadd(bench.keys.accountsAsked(SHARD), CLIENT),
    ],
  ])('is not published any more if its client %s', async (_, end, change) => {
    await bench.become('online', { account: 'a' });
    const { ids, held } = await busy(20);
    await change();
    const next = await step([sent(held[0] as ClaimedMessage)], held.at(-1));
    expect([next.claimed, next.stopped]).toEqual([[], [CLIENT]]);
    // The publish that was under way is completed, and the rest goes back.
    expect((await step([sent(held[1] as ClaimedMessage)])).claimed).toEqual([]);
    for (const id of ids.slice(2)) {
      expect(await bench.statuses(id)).toEqual(end === 'failed' ? ['queued', 'failed'] : ['queued']);
      expect(await storedMessage(bench.redis, bench.keys.message(SHARD, id))).toMatchObject({ attempts: '0' });
    }
    expect(await bench.redis.exists(bench.keys.claimed(SHARD))).toBe(0);
  });
});

describe('a step with claims ahead that is repeated because its reply was lost', () => {
  it('claims the same messages again, and completes nothing twice', async () => {
    const { ids, held } = await busy(30);
    const results = held.slice(0, 8).map((one) => sent(one));
    const first = await step(results, held.at(-1));
    expect(idsOf(await step(results, held.at(-1)))).toEqual(idsOf(first));
    await expectTraces(ids.slice(0, 8), ['queued', 'in_flight', 'sent']);
    await expectTraces(ids.slice(8), ['queued']);
  });

  it('puts nothing back that was claimed since', async () => {
    const { ids, held } = await busy(3);
    const results = [resultOf(held[0] as ClaimedMessage, 'failed')];
    await step(results);
    expect((await step(results)).claimed).toMatchObject([{ messageId: ids[1], attempt: 2 }]);
    await expectTraces(ids.slice(1, 2), ['queued', 'in_flight']);
  });
});

describe('a new owner', () => {
  it('publishes again what a former owner has claimed ahead, in order: it may have been published', async () => {
    const { ids } = await busy(20);
    const inFlight = ids.slice(0, IN_FLIGHT);
    const head = await bench.claim();
    expect(head).toMatchObject({ messageId: ids[0], attempt: 2 });
    await expectTraces(inFlight, ['queued', 'in_flight']);
    const { claimed } = await step([sent(head)]);
    expect(claimed.map(({ messageId }) => messageId)).toEqual(ids.slice(1, IN_FLIGHT + 1));
    expect(claimed.map(({ attempt }) => attempt)).toEqual([...inFlight.slice(1).map(() => 2), 1]);
    await step(claimed.map((one) => sent(one)));
    await expectTraces(ids.slice(0, IN_FLIGHT), ['queued', 'in_flight', 'sent']);
  });

  it('puts it back with a trace if the one before it is not taken', async () => {
    const { ids } = await busy(4);
    await step([resultOf(await bench.claim(), 'no-subscribers')]);
    for (const id of ids.slice(1)) {
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
      expect(await bench.eventsOf(id)).toEqual(['queued', 'in_flight', 'held']);
    }
  });
});

describe('the release of the outbound side', () => {
  it('puts claims ahead back without a trace, and the one whose publish was interrupted with one', async () => {
    const { ids, held } = await busy(5);
    await step([sent(held[0] as ClaimedMessage)], held.at(-1));
    await bench.owning((grant) => bench.work.release(grant, undefined), OUTBOUND.index);
    await expectTraces(ids.slice(1, 2), ['queued', 'in_flight', 'queued']);
    await expectNoTrace(ids.slice(2));
    expect(await bench.claim()).toMatchObject({ messageId: ids[1], attempt: 2 });
  });
});
