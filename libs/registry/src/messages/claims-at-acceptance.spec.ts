/** The accept script claims a message at once for the dispatcher that owns the outbound side, or lets it wait and rings. */
import { connectRedis } from '@app/platform';
import { quiet, type Server } from '../../../../test/support/servers.js';
import { type AcceptResult, type MintedMessage } from './messages.js';
import { claimsReader, type ClaimEntry } from './outbound-work.js';
import {
  CLIENT,
  OUTBOUND,
  SHARD,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';

let bench: MessageBench;
let server: Server;

withMessages((begun, started) => {
  bench = begun;
  server = started;
});

beforeEach(() => bench.become('online'));

/** From now on a dispatcher owns the outbound side. */
async function own(): Promise<void> {
  await bench.redis.set(bench.keys.owner(OUTBOUND), OUTBOUND.fence);
}

async function accept(...wanted: Partial<MintedMessage>[]): Promise<AcceptResult & { ids: string[] }> {
  const minted = wanted.map((more) => bench.minted(more));
  const result = await bench.messages.accept(SHARD, minted);
  expect(result.outcomes.map(({ kind }) => kind)).toEqual(minted.map(() => 'accepted'));
  return { ...result, ids: minted.map(({ messageId }) => messageId) };
}

/** What the owner has not read of the stream of claims. */
async function unread(): Promise<ClaimEntry[]> {
  const connection = connectRedis(server.url, { name: 'spec-reader', whenAway: 'wait' }, quiet);
  const found: ClaimEntry[] = [];
  if ((await bench.redis.exists(bench.keys.claims(SHARD))) === 1) {
    const reader = claimsReader(connection, bench.redis, bench.keys);
    await reader.read(new Map([[SHARD, '0-0']]), (_, entries) => {
      found.push(...entries);
      return Promise.resolve();
    });
  }
  await connection.quit();
  return found;
}

/** Message ids of claims, and what rings. */
async function announced(): Promise<string[]> {
  return (await unread()).map(({ message, follows }) => message?.messageId ?? `bell ${follows ?? 'ready'}`);
}

async function statusOf(id: string): Promise<string | undefined> {
  return (await bench.messages.read(id))?.status;
}

describe('a message that is accepted while a dispatcher owns the outbound side', () => {
  beforeEach(own);

  it('is claimed at once: with its history, its events, its connection and an entry in the stream of claims', async () => {
    const payloadJson = '{"a":[1,"ü😀"]}';
    const { outcomes, wake, ids } = await accept({ payloadJson, directive: 'd', requestId: 'request-7' });
    const [id = ''] = ids;
    // The caller learns what the script has found, not what it has done: the answer is the same for any message.
    expect([outcomes[0], wake]).toMatchObject([{ message: { messageId: id, status: 'queued' } }, false]);
    const stored = await bench.messages.read(id);
    if (stored === undefined) throw new Error('the message is not stored');
    const { createdAt, expiresAt } = stored;
    expect(stored.history).toEqual([
      { status: 'queued', at: createdAt },
      { status: 'in_flight', at: createdAt },
    ]);
    expect(await bench.eventsOf(id)).toEqual(['queued', 'in_flight']);
    expect(await bench.outbox()).toEqual([id]);
    expect(await bench.redis.smembers(bench.keys.claimed(SHARD))).toEqual([CLIENT]);
    expect(await bench.redis.exists(bench.keys.ready(SHARD))).toBe(0);
    expect((await unread()).map(({ message }) => message)).toEqual([
      {
        ...{ clientId: CLIENT, messageId: id, directive: 'd', payloadJson, expiresAt, requestId: 'request-7' },
        ...{ attempt: 1, createdAt, isFollowed: false },
      },
    ]);
  });

  it.each([
    ['with lines and signs that records write otherwise', '{"a":\n"100%41\t%"}'],
    ['that has a key of its own', `"${'ü'.repeat(1500)}"`],
  ])('is claimed with a payload %s, as it was accepted', async (_, payloadJson) => {
    const more = { payloadJson, directive: '100% of\nit', requestId: 'r\t%09' };
    const { ids } = await accept(more);
    expect((await unread())[0]?.message).toMatchObject({ ...more, messageId: ids[0], clientId: CLIENT });
  });

  it('is completed by the owner as one that it has claimed itself', async () => {
    const [id = ''] = (await accept({})).ids;
    const [entry] = await unread();
    const results = [{ clientId: CLIENT, messageId: id, attempt: 1, outcome: 'sent' } as const];
    const step = await bench.step({ readTo: entry?.id, results });
    expect(step).toMatchObject({ claimed: [], inFlight: 0, unread: 0, left: { empty: 1 } });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'sent']);
    // The next one finds an empty outbox again.
    await own();
    const [next] = (await accept({})).ids;
    expect(await announced()).toEqual([next]);
  });

  it('is claimed without a payload, with an account and with an Idempotency-Key as well', async () => {
    await bench.become('online', { account: 'acme' });
    const message = bench.minted({ payloadJson: undefined, idempotencyKey: 'k' });
    const first = await bench.messages.accept(SHARD, [message], 'acme');
    expect((await unread())[0]?.message).toMatchObject({ messageId: message.messageId, payloadJson: undefined });
    expect(await bench.messages.accept(SHARD, [message], 'acme')).toEqual(first);
    expect(await announced()).toEqual([message.messageId]);
  });

  it.each(['proxy', 'host'] as const)('is claimed for a %s', async (type) => {
    await bench.become('online', { type });
    const { ids } = await accept({});
    expect(await announced()).toEqual(ids);
  });

  it('is claimed alone: the others of the call follow it in the outbox', async () => {
    const other = neighbour('other');
    await bench.become('online', { clientId: other });
    const { ids } = await accept({}, { clientId: other }, {}, {});
    const [first, ofOther, second, third] = ids;
    expect(await announced()).toEqual([first, ofOther, `bell ${CLIENT}`]);
    expect(await bench.outbox()).toEqual([first, second, third]);
    expect(await Promise.all(ids.map(statusOf))).toEqual(['in_flight', 'in_flight', 'queued', 'queued']);
    expect(await bench.redis.exists(bench.keys.ready(SHARD))).toBe(0);
  });

  it('rings for its connection if it waits behind a single claimed one, and not if others wait there', async () => {
    const { ids: first } = await accept({});
    expect(await announced()).toEqual(first);
    await accept({});
    expect(await announced()).toEqual([...first, `bell ${CLIENT}`]);
    await accept({});
    await accept({}, {});
    expect(await announced()).toEqual([...first, `bell ${CLIENT}`]);
    expect(await bench.redis.exists(bench.keys.ready(SHARD))).toBe(0);
  });

  it('is not published before another one of its connection that waits', async () => {
    await bench.redis.del(bench.keys.owner(OUTBOUND));
    const { ids } = await accept({});
    await own();
    const { ids: next } = await accept({});
    expect(await announced()).toEqual([]);
    expect(await bench.outbox()).toEqual([...ids, ...next]);
    expect(await statusOf(next[0] ?? '')).toBe('queued');
  });

  describe('waits in its outbox, and its connection is ready,', () => {
    async function expectToWait(more: Partial<MintedMessage> = {}): Promise<void> {
      const { ids, wake } = await accept(more);
      expect([await statusOf(ids[0] ?? ''), wake]).toEqual(['queued', false]);
      expect(await announced()).toEqual(['bell ready']);
      expect(await bench.redis.exists(bench.keys.claimed(SHARD))).toBe(0);
      expect(await bench.redis.zrange(bench.keys.ready(SHARD), '0', '-1')).toEqual([CLIENT]);
      expect(await bench.eventsOf(ids[0] ?? '')).toEqual(['queued']);
    }

    it('if the owner is about to release its lease', async () => {
      await bench.redis.set(bench.keys.outboundClosing(SHARD), 1);
      await expectToWait();
    });

    it('if the account of its client is being asked for', async () => {
      await bench.become('online', { account: 'acme' });
      await bench.redis.sadd(bench.keys.accountsAsked(SHARD), CLIENT);
      await expectToWait();
    });

    it('if its payload is large', async () => {
      await expectToWait({ payloadJson: `"${'x'.repeat(16_383)}"` });
    });

    it('if the owner has not read many claims', async () => {
      const fill = bench.redis.multi();
      for (let i = 0; i < 1000; i++) fill.xadd(bench.keys.claims(SHARD), `1-${i + 1}`, 'bell', '');
      await fill.exec();
      const { ids } = await accept({});
      expect(await statusOf(ids[0] ?? '')).toBe('queued');
      expect(await bench.redis.zrange(bench.keys.ready(SHARD), '0', '-1')).toEqual([CLIENT]);
      await bench.redis.xtrim(bench.keys.claims(SHARD), 'MAXLEN', 999);
      const other = neighbour('other');
      await bench.become('online', { clientId: other });
      expect(await statusOf((await accept({ clientId: other })).ids[0] ?? '')).toBe('in_flight');
    });
  });

  it('is claimed up to the limit for a copy of its payload', async () => {
    const { ids } = await accept({ payloadJson: `"${'x'.repeat(16_382)}"` });
    expect(await announced()).toEqual(ids);
  });

  it('is claimed without an account even if the account of its client is being asked for', async () => {
    await bench.redis.sadd(bench.keys.accountsAsked(SHARD), CLIENT);
    const { ids } = await accept({});
    expect(await announced()).toEqual(ids);
  });

  it('of an offline client is held, and rings for nobody', async () => {
    await bench.become('offline');
    const { ids, wake } = await accept({});
    expect([await statusOf(ids[0] ?? ''), wake, await announced()]).toEqual(['held', false, []]);
    expect(await bench.redis.exists(bench.keys.ready(SHARD), bench.keys.claimed(SHARD))).toBe(0);
  });

  it('rings once while connections are ready that the owner has not looked at', async () => {
    await bench.redis.set(bench.keys.outboundClosing(SHARD), 1);
    const [second, third] = [neighbour('second'), neighbour('third')];
    for (const clientId of [second, third]) await bench.become('online', { clientId });
    await accept({});
    await accept({ clientId: second });
    await accept({}, { clientId: third });
    expect(await announced()).toEqual(['bell ready']);
    await bench.step({ room: 5 });
    await own();
    await bench.redis.set(bench.keys.outboundClosing(SHARD), 1);
    const fourth = neighbour('fourth');
    await bench.become('online', { clientId: fourth });
    await accept({ clientId: fourth });
    expect(await announced()).toEqual(['bell ready', 'bell ready']);
  });

  it('rings although a connection waits for a retry, whose time has not come', async () => {
    await bench.redis.zadd(bench.keys.ready(SHARD), ((await bench.now()) + 60_000) * 1000, neighbour('waits'));
    await bench.redis.set(bench.keys.outboundClosing(SHARD), 1);
    await accept({});
    expect(await announced()).toEqual(['bell ready']);
  });
});

describe('a message that is accepted while nobody owns the outbound side', () => {
  it('waits, and its caller is to activate the outbound side', async () => {
    const { ids, wake } = await accept({});
    expect([await statusOf(ids[0] ?? ''), wake]).toEqual(['queued', true]);
    expect(await bench.redis.exists(bench.keys.claims(SHARD), bench.keys.claimed(SHARD))).toBe(0);
    expect(await bench.redis.zrange(bench.keys.ready(SHARD), '0', '-1')).toEqual([CLIENT]);
  });

  it('asks for an activation once, until the ready connections have been taken', async () => {
    const other = neighbour('other');
    await bench.become('online', { clientId: other });
    expect((await accept({})).wake).toBe(true);
    expect((await accept({ clientId: other })).wake).toBe(false);
    expect((await accept({})).wake).toBe(false);
    await bench.step({ room: 5 });
    const third = neighbour('third');
    await bench.become('online', { clientId: third });
    expect((await accept({ clientId: third })).wake).toBe(true);
  });

  it.each([undefined, 'key'])(
    'asks for an activation again if the call is repeated after a lost reply (Idempotency-Key: %s)',
    async (idempotencyKey) => {
      const message = bench.minted({ idempotencyKey });
      expect((await bench.messages.accept(SHARD, [message])).wake).toBe(true);
      const repeat = () => bench.messages.accept(SHARD, [message]);
      expect((await repeat()).wake).toBe(true);
      // An owner looks by itself.
      await own();
      expect((await repeat()).wake).toBe(false);
      expect(await bench.outbox()).toEqual([message.messageId]);
    },
  );

  it('asks for no activation if it is held or refused', async () => {
    await bench.become('offline');
    const { outcomes, wake } = await bench.messages.accept(SHARD, [
      bench.minted(),
      bench.minted({ clientId: neighbour('nobody') }),
    ]);
    expect([outcomes.map(({ kind }) => kind), wake]).toEqual([['accepted', 'building'], false]);
    expect(await bench.redis.exists(bench.keys.ready(SHARD), bench.keys.claims(SHARD))).toBe(0);
  });
});
