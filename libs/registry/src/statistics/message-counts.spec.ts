import { CLIENT, OUTBOUND, SHARD, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { MESSAGE_STATUSES, type MessageStatus } from '../message-status.js';
import { readMessageCounts } from './message-counts.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

/** The counts of the last hour together: a test may run while a minute ends. */
async function counted(): Promise<Record<string, number>> {
  const now = Number((await bench.redis.time())[0]) * 1000;
  const minutes = await readMessageCounts(bench.redis, bench.keys, SHARD + 1, now);
  const sum = (status: MessageStatus): number => minutes.reduce((all, one) => all + one[status], 0);
  const sums = MESSAGE_STATUSES.map((status) => [status, sum(status)] as const);
  return Object.fromEntries(sums.filter(([, count]) => count !== 0));
}

/** The number of events by status. */
async function emitted(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [, fields] of await bench.redis.xrange(bench.keys.events(SHARD), '-', '+')) {
    const { type, status } = JSON.parse(fields[fields.indexOf('event') + 1] ?? '{}') as Record<string, string>;
    if (type !== 'message.status') continue;
    const next = fields.indexOf('next');
    for (const one of [status, next < 0 ? undefined : fields[next + 1]])
      if (one !== undefined) counts[one] = (counts[one] ?? 0) + 1;
  }
  return counts;
}

describe('messages a minute', () => {
  it('are counted by each status that they reach, as often as an event tells it', async () => {
    expect(await counted()).toEqual({});
    await bench.become('online');
    const [first, second] = [await bench.accepted(), await bench.accepted()];
    await bench.takeOver();
    await bench.complete({ messageId: first.messageId, attempt: 1, outcome: 'no-subscribers' });
    await bench.messages.cancel(second.messageId);
    await bench.takeOver();
    await bench.complete({ messageId: first.messageId, attempt: 2, outcome: 'sent' });
    await bench.outboxes.failByClient(CLIENT, first.messageId, 'out of paper');
    // With an owner of the outbound side, a message is claimed when it is accepted, and one entry tells both.
    await bench.redis.set(bench.keys.owner(OUTBOUND), OUTBOUND.fence);
    await bench.accepted();
    await bench.become('offline');
    await bench.accepted();
    const counts = await counted();
    expect(counts).toMatchObject({ sent: 1, failed: 1, cancelled: 1, in_flight: 3 });
    expect(counts['held']).toBeGreaterThanOrEqual(1);
    expect(counts).toEqual(await emitted());
  });
});
