/** Messages across connections: every one is found, whatever the size of a page, and nothing of another account. */
import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import { SHARDS, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { storeFormerMessage } from '../../../../test/support/stored-message.js';
import { ConnectionDirectory } from '../connections/connection-directory.js';
import type { MessageStatus } from '../message-status.js';
import type { MessageFilter } from './message-page.js';
import { MessageSearch, type SearchPosition } from './message-search.js';
import type { StoredMessage } from '../messages/stored-messages.js';

let bench: MessageBench;
let redis: Redis;
let search: MessageSearch;

withMessages((begun) => (bench = begun), { outboxLimit: 5000, shardLimit: 20_000 });

beforeEach(() => {
  ({ redis } = bench);
  search = new MessageSearch(redis, bench.keys, new ConnectionDirectory(redis, bench.keys, SHARDS));
});

/** All pages of a search; `between` runs after each. */
async function pages(
  filter: MessageFilter,
  limit: number,
  between?: () => Promise<unknown>,
): Promise<{ found: StoredMessage[]; pages: number; lookedAt: number[] }> {
  const [found, lookedAt]: [StoredMessage[], number[]] = [[], []];
  let from: SearchPosition | undefined;
  do {
    const page = await search.page(filter, limit, from);
    expect(page.messages.length).toBeLessThanOrEqual(limit);
    found.push(...page.messages);
    lookedAt.push(page.lookedAt);
    from = page.next;
    await between?.();
    if (lookedAt.length > 1000) throw new Error('the search does not end');
  } while (from !== undefined);
  return { found, pages: lookedAt.length, lookedAt };
}

async function idsOf(filter: MessageFilter, limit = 100): Promise<string[]> {
  return (await pages(filter, limit)).found.map(({ messageId }) => messageId).sort();
}

/** Adds a client of any shard. */
async function client(clientId: string, state: 'online' | 'offline', account?: string): Promise<void> {
  const shard = shardOf(clientId, SHARDS);
  await bench.become(state, { clientId, account });
  if (account === undefined) return;
  const set =
    state === 'online'
      ? bench.keys.online(shard, 'host', account)
      : bench.keys.offline(shard, 'host', 'goodbye', account);
  await redis.zadd(set, 0, clientId);
}

/** Accepts messages to a client. @param payer who is charged */
async function send(clientId: string, count = 1, payer = 'key:a', responseTimeoutMs?: number): Promise<string[]> {
  const messages = Array.from({ length: count }, () => bench.minted({ clientId, responseTimeoutMs }));
  await bench.messages.accept(shardOf(clientId, SHARDS), messages, undefined, { payer });
  return messages.map(({ messageId }) => messageId);
}

async function cancel(...ids: string[]): Promise<void> {
  for (const id of ids) expect(await bench.messages.cancel(id)).toEqual({ kind: 'cancelled' });
}

/** Publishes the first message of a client that is online. */
async function publish(clientId: string, messageId: string): Promise<void> {
  const shard = shardOf(clientId, SHARDS);
  await bench.step({ room: 1 }, shard);
  await bench.step({ results: [{ clientId, messageId, attempt: 1, outcome: 'sent' }] }, shard);
}

describe('a search for messages', () => {
  it('finds nothing where nothing is stored', async () => {
    expect(await search.page({}, 10)).toEqual({ messages: [], lookedAt: 0 });
  });

  it('finds each message by its status, with the status that the client makes of it', async () => {
    await client('on', 'online');
    await client('off', 'offline');
    const [sent = ''] = await send('on');
    await publish('on', sent);
    const [awaiting = ''] = await send('on', 1, 'key:a', 60_000);
    await publish('on', awaiting);
    const queued = await send('on', 2);
    const held = await send('off', 3);
    const cancelled = await send('off', 2, 'key:b');
    await cancel(...cancelled);
    const byStatus: [MessageStatus, string[]][] = [
      ['queued', queued],
      ['held', held],
      ['sent', [sent, awaiting]],
      ['cancelled', cancelled],
      ['failed', []],
    ];
    for (const [status, ids] of byStatus) {
      for (const limit of [1, 100]) expect([status, await idsOf({ status }, limit)]).toEqual([status, ids.toSorted()]);
    }
    expect(await idsOf({}, 1)).toEqual(byStatus.flatMap(([, ids]) => ids).toSorted());
  });

  it('finds each message once for any page size, also of many payers and in long lists', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 12; i++) {
      await client(`c-${i}`, 'offline');
      const some = await send(`c-${i}`, 25, `key:${i % 5}`);
      ids.push(...some);
      await cancel(...some.slice(0, 15));
    }
    for (const limit of [1, 2, 7, 99, 300, 301, 1000]) {
      const { found } = await pages({}, limit);
      expect(found).toHaveLength(300);
      expect(found.map(({ messageId }) => messageId).sort()).toEqual(ids.toSorted());
    }
  });

  it('looks at 1,000 at most a page, and says at how many', async () => {
    await client('c', 'offline');
    for (let i = 0; i < 5; i++) await send('c', 500);
    const { found, lookedAt } = await pages({ status: 'queued' }, 1000);
    expect(found).toEqual([]);
    expect(lookedAt).toEqual([1000, 1000, 500]);
  });

  it('finds finished messages of a list from the newest on', async () => {
    await client('c', 'offline');
    const ids = await send('c', 5);
    await cancel(...ids);
    const { found } = await pages({ status: 'cancelled' }, 2);
    expect(found.map(({ messageId }) => messageId)).toEqual(ids.toReversed());
  });

  it('finds messages that were accepted since a time', async () => {
    await client('c', 'offline');
    const [old = ''] = await send('c');
    const since = ((await bench.messages.read(old))?.createdAt ?? 0) + 1;
    let [fresh = ''] = await send('c');
    while (((await bench.messages.read(fresh))?.createdAt ?? 0) < since) [fresh = ''] = await send('c');
    const later = (await idsOf({ since })).includes(old);
    expect(later).toBe(false);
    expect(await idsOf({ since })).toContain(fresh);
  });

  it('finds messages that 0.1.0 has stored, and passes those of which the record is lost', async () => {
    await client('c', 'offline');
    const [former = '', lost = '', other = ''] = await send('c', 3);
    const shard = shardOf('c', SHARDS);
    await storeFormerMessage(redis, bench.keys.message(shard, former));
    await redis.del(bench.keys.message(shard, lost));
    expect(await idsOf({})).toEqual([former, other].sort());
    expect(await idsOf({ status: 'held' })).toEqual([former, other].sort());
  });

  it('misses none that stays while others are sent, finish and are forgotten', async () => {
    await client('c', 'offline');
    const staying = await send('c', 30, 'key:stays');
    const finished = await send('c', 30, 'key:finished');
    await cancel(...finished);
    const passing = await send('c', 30, 'key:passes');
    const { found } = await pages({}, 4, async () => {
      const [id] = passing.splice(0, 1);
      if (id !== undefined) await cancel(id);
      await send('c', 1, 'key:more');
      // As if the oldest message of the list had been forgotten.
      const key = bench.keys.finishedOf(shardOf('c', SHARDS), 'key:passes');
      if ((await redis.llen(key)) > 3) await redis.lpop(key);
    });
    const ids = found.map(({ messageId }) => messageId);
    for (const id of [...staying, ...finished]) expect(ids.filter((one) => one === id)).toHaveLength(1);
  });

  it('continues in a list that has grown by more than it searches, and after a message that was forgotten', async () => {
    await client('c', 'offline');
    const ids = await send('c', 4);
    await cancel(...ids);
    const first = await search.page({}, 2);
    for (let i = 0; i < 3; i++) await cancel(...(await send('c', 400)));
    const second = await search.page({}, 10, first.next);
    expect(second.messages.map(({ messageId }) => messageId)).toEqual([ids[1], ids[0]]);
    await redis.ltrim(bench.keys.finishedOf(shardOf('c', SHARDS), 'key:a'), 4, -1);
    expect((await search.page({}, 10, first.next)).messages).toEqual([]);
  });
});

describe('a search of a caller that is bound to an account', () => {
  it('finds the messages of the connections of its account, whoever has sent them, and no other', async () => {
    const [of, others]: [string[], string[]] = [[], []];
    for (let i = 0; i < 10; i++) {
      await client(`a-${i}`, i % 2 ? 'online' : 'offline', 'acme');
      await client(`b-${i}`, 'offline', 'other');
      const some = await send(`a-${i}`, 12, i % 3 ? 'account:acme' : 'key:operator');
      of.push(...some);
      await cancel(...some.slice(0, 5));
      others.push(...(await send(`b-${i}`, 3, 'account:acme')));
    }
    for (const limit of [1, 3, 50, 120, 121]) expect(await idsOf({ account: 'acme' }, limit)).toEqual(of.toSorted());
    expect(await idsOf({ account: 'other' })).toEqual(others.toSorted());
    expect(await idsOf({ account: 'nobody' })).toEqual([]);
    expect(await idsOf({ account: 'acme', status: 'cancelled' })).toHaveLength(50);
  });

  it('finds held messages by the connections that have some', async () => {
    for (let i = 0; i < 5; i++) await client(`a-${i}`, 'offline', 'acme');
    const ids = await send('a-3', 4);
    const { found, lookedAt } = await pages({ account: 'acme', status: 'held' }, 3);
    expect(found.map(({ messageId }) => messageId).sort()).toEqual(ids.toSorted());
    expect(lookedAt.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(6);
  });

  it('goes on inside a connection with many messages', async () => {
    await client('a', 'offline', 'acme');
    for (let i = 0; i < 3; i++) await send('a', 500);
    const { found, lookedAt } = await pages({ account: 'acme' }, 700);
    expect(new Set(found.map(({ messageId }) => messageId)).size).toBe(1500);
    expect(found).toHaveLength(1500);
    expect(Math.max(...lookedAt)).toBeLessThanOrEqual(1000);
  });
});
