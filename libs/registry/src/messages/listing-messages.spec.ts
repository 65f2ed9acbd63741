import type { MessageStatus } from '../message-status.js';
import { CLIENT, SHARD, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { changeStoredMessage } from '../../../../test/support/stored-message.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

/** Accepts messages for an offline client. @returns their ids */
async function acceptMany(count: number): Promise<string[]> {
  await bench.become('offline');
  const messages = Array.from({ length: count }, () => bench.minted());
  await bench.messages.accept(SHARD, messages);
  return messages.map(({ messageId }) => messageId);
}

describe("the listing of a connection's messages", () => {
  async function pages(limit: number, status?: MessageStatus): Promise<string[][]> {
    const found: string[][] = [];
    let cursor: number | undefined;
    do {
      const page = await bench.messages.list(CLIENT, limit, status, cursor);
      found.push(page.messages.map(({ messageId }) => messageId));
      cursor = page.next;
    } while (cursor !== undefined);
    return found;
  }

  it('returns each message once, newest first, for any page size', async () => {
    const ids = await acceptMany(25);
    const newest = ids.toReversed();
    expect(await pages(10)).toEqual([newest.slice(0, 10), newest.slice(10, 20), newest.slice(20)]);
    expect(await pages(25)).toEqual([newest]);
    expect(await pages(24)).toEqual([newest.slice(0, 24), newest.slice(24)]);
    expect((await bench.messages.list(CLIENT, 1)).messages[0]).toEqual({
      ...(await bench.messages.read(newest[0] ?? '')),
      status: 'held',
    });
  });

  it('continues after the end of the page, even if messages were added and removed between the pages', async () => {
    await bench.become('offline');
    const [first, second, third] = [await bench.accepted(), await bench.accepted(), await bench.accepted()];
    const page = await bench.messages.list(CLIENT, 1);
    expect(page.messages.map(({ messageId }) => messageId)).toEqual([third.messageId]);
    await bench.redis.zrem(bench.keys.messages(SHARD, CLIENT), third.messageId, second.messageId);
    const rest = await bench.messages.list(CLIENT, 10, undefined, page.next);
    expect(rest.messages.map(({ messageId }) => messageId)).toEqual([first.messageId]);
  });

  it('filters by the derived status for held and queued', async () => {
    await bench.become('offline');
    const [held, cancelled, other] = [await bench.accepted(), await bench.accepted(), await bench.accepted()];
    await bench.messages.cancel(cancelled.messageId);
    expect(await pages(10, 'held')).toEqual([[other.messageId, held.messageId]]);
    expect(await pages(1, 'held')).toEqual([[other.messageId], [held.messageId]]);
    expect(await pages(10, 'cancelled')).toEqual([[cancelled.messageId]]);
    expect(await pages(10, 'queued')).toEqual([[]]);
    await bench.become('online');
    expect(await pages(10, 'held')).toEqual([[]]);
    expect(await pages(10, 'queued')).toEqual([[other.messageId, held.messageId]]);
  });

  it('ends a page early if histories are long, and still returns each message once', async () => {
    const ids = await acceptMany(900);
    const history = Array.from({ length: 8 }, (_, i) => `q${i} ${'x'.repeat(1000)}`).join('\t');
    for (const id of ids) await changeStoredMessage(bench.redis, bench.keys.message(SHARD, id), { history });
    const found = await pages(1000);
    expect(found.flat()).toEqual(ids.toReversed());
    expect(Math.max(...found.map((page) => page.length))).toBeLessThanOrEqual(500);
  });

  it('ends a page early if answers are large, and still returns each message once', async () => {
    const ids = await acceptMany(7);
    const payload = JSON.stringify('x'.repeat(900_000));
    for (const id of ids) {
      const answered = { form: '2', status: 'answered', has_payload_key: '1', payload: '' };
      const answer_line = `0\t0\t\t\tanswer-1\t{"received_at":1,"size":${payload.length}}`;
      await changeStoredMessage(bench.redis, bench.keys.message(SHARD, id), { ...answered, answer_line });
      await bench.redis.set(bench.keys.payload(SHARD, id), payload);
    }
    const found = await pages(1000);
    expect(found.flat()).toEqual(ids.toReversed());
    expect(found.map((page) => page.length)).toEqual([3, 3, 1]);
    expect((await bench.messages.list(CLIENT, 1)).messages[0]?.answer?.payloadJson).toBe(payload);
  });

  it('checks at most a thousand messages for one page by status, and says that there are more', async () => {
    const ids = await acceptMany(1100);
    await bench.messages.cancel(ids[0] ?? '');
    const first = await bench.messages.list(CLIENT, 10, 'cancelled');
    expect(first.messages).toEqual([]);
    expect((await bench.messages.list(CLIENT, 10, 'cancelled', first.next)).messages).toMatchObject([
      { messageId: ids[0] },
    ]);
  });

  it('is empty for a client without messages', async () => {
    expect(await bench.messages.list('nobody', 10)).toEqual({ messages: [], lookedAt: 0 });
  });
});
