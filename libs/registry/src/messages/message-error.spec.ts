import {
  CLIENT,
  SHARD,
  claimed,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { storeFormerMessage } from '../../../../test/support/stored-message.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(() => bench.become('online'));

async function lastEvent(stream = bench.keys.events(SHARD)): Promise<unknown> {
  const [last] = await bench.redis.xrevrange(stream, '+', '-', 'COUNT', 1);
  return JSON.parse(last?.[1][3] ?? 'null');
}

describe("a client's message-error", () => {
  it.each(['in_flight', 'sent'] as const)('fails a message that is %s, with the details', async (status) => {
    const id = await bench.add();
    await bench.claim();
    if (status === 'sent') await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await bench.outboxes.failByClient(CLIENT, id, 'no such worker')).toBe('failed');
    expect((await bench.messages.read(id))?.history.at(-1)).toMatchObject({
      status: 'failed',
      details: 'no such worker',
    });
    expect(await lastEvent()).toEqual({
      ...{ type: 'message.status', client_id: CLIENT, message_id: id },
      ...{ status: 'failed', details: 'no such worker' },
    });
  });

  it.each(['sent', 'failed', 'no-subscribers', 'retry'] as const)(
    'wins over a later publish result of %s',
    async (outcome) => {
      const [id, next] = [await bench.add(), await bench.add()];
      await bench.claim();
      await bench.outboxes.failByClient(CLIENT, id, 'no such worker');
      const step = await bench.complete({ messageId: id, attempt: 1, outcome, details: 'of the broker' });
      expect(claimed(step).messageId).toBe(next);
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
      expect((await bench.messages.read(id))?.history.at(-1)?.details).toBe('no such worker');
      expect(await bench.outbox()).toEqual([next]);
      expect(await bench.redis.zscore(bench.keys.expiry(SHARD), id)).toBeNull();
    },
  );

  it('makes the next run skip the message if the dispatcher died before completing it', async () => {
    const [id, next] = [await bench.add(), await bench.add()];
    await bench.claim();
    await bench.outboxes.failByClient(CLIENT, id, 'no such worker');
    expect((await bench.claim()).messageId).toBe(next);
    expect(await bench.outbox()).toEqual([next]);
  });

  it.each(['online', 'offline'] as const)(
    'fails a message that waits for a retry because its PUBACK was lost (client %s)',
    async (state) => {
      const [id, next] = [await bench.add(), await bench.add()];
      await bench.claim();
      await bench.complete({ messageId: id, attempt: 1, outcome: 'retry', details: 'no PUBACK' });
      await bench.become(state);
      expect((await bench.messages.read(id))?.status).toBe(state === 'online' ? 'queued' : 'held');
      expect(await bench.outboxes.failByClient(CLIENT, id, 'no such worker')).toBe('failed');
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued', 'failed']);
      expect(await bench.outbox()).toEqual([next]);
      expect(await bench.redis.zscore(bench.keys.expiry(SHARD), id)).toBeNull();
      await bench.become('online');
      expect((await bench.claim()).messageId).toBe(next);
    },
  );

  it('removes the message from the outbox at once, and a later completion changes nothing', async () => {
    const [id, next] = [await bench.add(), await bench.add()];
    await bench.claim();
    await bench.outboxes.failByClient(CLIENT, id, 'no such worker');
    expect(await bench.outbox()).toEqual([next]);
    const step = await bench.complete({ messageId: id, attempt: 1, outcome: 'retry', details: 'no PUBACK' });
    expect(claimed(step).messageId).toBe(next);
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'failed']);
  });

  it('fails a message in flight of an older release, which did not count claims', async () => {
    const id = await bench.add();
    await bench.claim();
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id));
    await bench.redis.hdel(bench.keys.message(SHARD, id), 'attempts');
    expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('failed');
  });

  it('leaves the status of a message that has expired or was cancelled after a claim, and is shown as late', async () => {
    const [expired, cancelled] = [await bench.add(), await bench.add()];
    for (const id of [expired, cancelled]) {
      const { attempt } = await bench.claim();
      await bench.complete({ messageId: id, attempt, outcome: 'retry', details: 'no PUBACK' });
      if (id === expired) await bench.endTimeToLive(id);
    }
    await bench.messages.cancel(cancelled);
    for (const id of [expired, cancelled]) {
      const before = await bench.statuses(id);
      expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('late');
      expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('repeated');
      expect(await bench.statuses(id)).toEqual(before);
      expect((await bench.messages.read(id))?.answer).toMatchObject({ late: true, payloadJson: '{"details":"x"}' });
    }
  });

  it('changes nothing if the message was not published yet', async () => {
    const id = await bench.add();
    expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('not-published');
    expect(await bench.statuses(id)).toEqual(['queued']);
    await bench.messages.cancel(id);
    expect(await bench.outboxes.failByClient(CLIENT, id, 'x')).toBe('not-published');
    expect(await bench.statuses(id)).toEqual(['queued', 'cancelled']);
  });

  it('has no effect if it is repeated', async () => {
    const id = await bench.add();
    await bench.claim();
    await bench.outboxes.failByClient(CLIENT, id, 'first');
    expect(await bench.outboxes.failByClient(CLIENT, id, 'second')).toBe('repeated');
    expect((await bench.messages.read(id))?.history.at(-1)?.details).toBe('first');
  });

  it('about an unknown message becomes an event, and nothing else is stored', async () => {
    const before = await bench.redis.keys(`${bench.keys.prefix}*`);
    expect(await bench.outboxes.failByClient(CLIENT, 'unknown', 'x'.repeat(5000))).toBe('unknown');
    const known = new Set([...before, bench.keys.refusalEvents(SHARD), bench.keys.log(SHARD)]);
    expect((await bench.redis.keys(`${bench.keys.prefix}*`)).sort()).toEqual([...known].sort());
    expect(await lastEvent(bench.keys.refusalEvents(SHARD))).toEqual({
      type: 'message.unmatched_error',
      client_id: CLIENT,
      in_response_to: 'unknown',
      details: 'x'.repeat(1000),
    });
  });

  it('about a message of another client becomes an event, and the message is unchanged', async () => {
    const stranger = neighbour('stranger');
    const id = await bench.add();
    await bench.claim();
    expect(await bench.outboxes.failByClient(stranger, id, 'x')).toBe('foreign');
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight']);
    const event = { type: 'message.unmatched_error', client_id: stranger };
    expect(await lastEvent(bench.keys.refusalEvents(SHARD))).toMatchObject(event);
  });
});
