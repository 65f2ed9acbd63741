/** How an owner of the outbound side begins and ends, and how a shard without one is found. */
import { connectRedis } from '@app/platform';
import { quiet } from '../../../../test/support/servers.js';
import { StaleOwnerError, type Grant } from '@app/sharding';
import {
  CLIENT,
  FORMER,
  OUTBOUND,
  SHARD,
  SHARDS,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { dueShards, ringOutboundOf } from './outbound-activation.js';
import type { MintedMessage } from './messages.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  await bench.become('online');
  await own();
});

/** A dispatcher acquires the lease, which has a minute left. */
async function own(grant = OUTBOUND): Promise<void> {
  await bench.redis.set(bench.keys.owner(grant), grant.fence, 'PX', 60_000);
}

async function owner(): Promise<string | null> {
  return bench.redis.get(bench.keys.owner(OUTBOUND));
}

async function newestClaim(): Promise<string | undefined> {
  return (await bench.redis.xrevrange(bench.keys.claims(SHARD), '+', '-', 'COUNT', 1))[0]?.[0];
}

/** A message that waits in the outbox of a connection that is ready, since the owner is not claimed for. */
async function addWaiting(more: Partial<MintedMessage> = {}): Promise<string> {
  await bench.redis.set(bench.keys.outboundClosing(SHARD), 1);
  const id = await bench.add(more);
  await bench.redis.del(bench.keys.outboundClosing(SHARD));
  return id;
}

/** Everything that is stored in the shard. */
async function everything(): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const name of (await bench.redis.keys(`${bench.keys.prefix}:*`)).toSorted()) {
    found[name] = await bench.redis.dumpBuffer(name);
  }
  return found;
}

describe('an owner that has lost its lease', () => {
  beforeEach(async () => {
    await bench.add();
    await bench.add({ clientId: await online('offline') });
    await addWaiting({ clientId: await online('waits') });
  });

  async function online(prefix: string): Promise<string> {
    const clientId = neighbour(prefix);
    await bench.become('online', { clientId });
    return clientId;
  }

  it.each<[string, (grant: Grant) => Promise<unknown>]>([
    ['claims', (grant) => bench.work.step(grant, { readTo: '9999999999999-0', room: 5, results: [] })],
    [
      'completes',
      async (grant) => {
        const [messageId = ''] = await bench.outbox();
        const results = [{ clientId: CLIENT, messageId, attempt: 1, outcome: 'sent' } as const];
        return bench.work.step(grant, { readTo: undefined, room: 0, results });
      },
    ],
    ['takes over', (grant) => bench.work.takeOver(grant)],
    ['closes', (grant) => bench.work.close(grant, 1000)],
    ['releases', (grant) => bench.work.release(grant, '9999999999999-0')],
    ['passivates', (grant) => bench.work.release(grant, undefined, 0)],
  ])('%s nothing, whether another has the lease or nobody', async (_, act) => {
    for (const change of [() => Promise.resolve(), () => bench.redis.del(bench.keys.owner(OUTBOUND))]) {
      await change();
      const before = await everything();
      await expect(act(FORMER)).rejects.toThrow(StaleOwnerError);
      expect(await everything()).toEqual(before);
    }
    // The present owner may.
    await own();
    await act(OUTBOUND);
  });
});

describe('an owner that takes over', () => {
  it('learns of all claimed connections, and of the newest entry of the stream of claims', async () => {
    expect(await bench.work.takeOver(OUTBOUND)).toMatchObject({ newest: '0-0', clientIds: [] });
    const other = neighbour('other');
    await bench.become('online', { clientId: other });
    const ids = [await bench.add(), await bench.add({ clientId: other })];
    const { newest, clientIds } = await bench.work.takeOver(OUTBOUND);
    expect([newest, clientIds.toSorted()]).toEqual([await newestClaim(), [CLIENT, other].toSorted()]);
    // What was claimed for the former owner and not read is claimed again, under the same ids.
    const results = clientIds.map((clientId) => ({ clientId, outcome: 'unwritten' as const }));
    const step = await bench.work.step(OUTBOUND, { readTo: newest, room: 0, results });
    expect(step.claimed.map(({ messageId, attempt }) => [messageId, attempt]).toSorted()).toEqual(
      ids.map((id) => [id, 2]).toSorted(),
    );
    expect(step).toMatchObject({ unread: 0, inFlight: 2 });
  });

  it('is claimed for again, although the former owner was about to release its lease', async () => {
    await bench.work.close(OUTBOUND, 60_000);
    const next = { ...OUTBOUND, epoch: 2, fence: '2:next' };
    await own(next);
    await bench.work.takeOver(next);
    const id = await bench.add();
    expect((await bench.messages.read(id))?.status).toBe('in_flight');
  });

  it('takes over what 0.1.0 has left under its names, and fences its run off', async () => {
    const { redis, keys } = bench;
    const [formerReady, formerClaimed, run] = ['woken', 'draining', 'drain-run'].map(
      (name) => `${keys.shard(SHARD)}:${name}`,
    );
    if (formerReady === undefined || formerClaimed === undefined || run === undefined) throw new Error('no names');
    const id = await addWaiting();
    await redis.zadd(keys.ready(SHARD), 5, 'both', 7, 'new');
    await redis.zadd(formerReady, 3, 'both', 9, 'old');
    await redis.sadd(formerClaimed, CLIENT);
    await redis.set(run, '1795000000000000');
    expect((await bench.work.takeOver(OUTBOUND)).clientIds).toEqual([CLIENT]);
    expect(await redis.exists(formerReady, formerClaimed, run)).toBe(0);
    expect(await redis.zrange(keys.ready(SHARD), '0', '2', 'WITHSCORES')).toEqual([
      ...['both', '3', 'new', '7', 'old', '9'],
    ]);
    const results = [{ clientId: CLIENT, outcome: 'unwritten' as const }];
    const step = await bench.work.step(OUTBOUND, { readTo: undefined, room: 0, results });
    expect(step.claimed).toMatchObject([{ clientId: CLIENT, messageId: id }]);
  });
});

describe('an owner that is about to release its lease', () => {
  it('is not claimed for any more, until its lease has ended', async () => {
    await bench.work.close(OUTBOUND, 5000);
    const id = await bench.add();
    expect((await bench.messages.read(id))?.status).toBe('queued');
    const leftMs = await bench.redis.pttl(bench.keys.outboundClosing(SHARD));
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(5000);
  });

  it('completes what it has published', async () => {
    const id = await bench.add();
    await bench.work.close(OUTBOUND, 5000);
    const results = [{ clientId: CLIENT, messageId: id, attempt: 1, outcome: 'sent' } as const];
    const step = await bench.work.step(OUTBOUND, { readTo: await newestClaim(), room: 'none-goes-on', results });
    expect(step).toMatchObject({ inFlight: 0, unread: 0 });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'sent']);
  });
});

describe('the release of the outbound side', () => {
  const IDLE_MS = 1000;

  describe('if it is idle', () => {
    it('happens if nothing is claimed, unread or ready soon, and leaves no key behind', async () => {
      await bench.redis.set(bench.keys.outboundClosing(SHARD), 1);
      expect(await bench.work.release(OUTBOUND, undefined, IDLE_MS)).toBe('idle');
      const { keys } = bench;
      const left = [keys.owner(OUTBOUND), keys.outboundClosing(SHARD), keys.claims(SHARD), keys.claimed(SHARD)];
      expect(await bench.redis.exists(...left)).toBe(0);
    });

    it('happens although a connection waits longer for a retry, and leaves it so', async () => {
      const at = ((await bench.now()) + 60_000) * 1000;
      await bench.redis.zadd(bench.keys.ready(SHARD), at, CLIENT);
      expect(await bench.work.release(OUTBOUND, undefined, IDLE_MS)).toBe('idle');
      expect(await bench.redis.zscore(bench.keys.ready(SHARD), CLIENT)).toBe(`${at}`);
    });

    it.each<[string, () => Promise<unknown>]>([
      ['a message is claimed', () => bench.redis.sadd(bench.keys.claimed(SHARD), CLIENT)],
      [
        'an entry of the stream of claims is not read',
        () => bench.redis.xadd(bench.keys.claims(SHARD), '*', 'bell', ''),
      ],
      ['a connection is ready', () => bench.redis.zadd(bench.keys.ready(SHARD), 0, CLIENT)],
      [
        'a connection will be ready soon',
        async () => bench.redis.zadd(bench.keys.ready(SHARD), ((await bench.now()) + IDLE_MS / 2) * 1000, CLIENT),
      ],
    ])('is refused while %s', async (_, change) => {
      await change();
      const before = await everything();
      expect(await bench.work.release(OUTBOUND, undefined, IDLE_MS)).toBe('busy');
      expect(await everything()).toEqual(before);
      expect(await owner()).toBe(OUTBOUND.fence);
    });

    it('is refused after an acceptance that the owner has not seen, and not after it has read and done it', async () => {
      const id = await bench.add();
      expect(await bench.work.release(OUTBOUND, '0-0', IDLE_MS)).toBe('busy');
      const read = await newestClaim();
      // It has read the entry, and publishes.
      expect(await bench.work.release(OUTBOUND, read, IDLE_MS)).toBe('busy');
      const results = [{ clientId: CLIENT, messageId: id, attempt: 1, outcome: 'sent' } as const];
      await bench.work.step(OUTBOUND, { readTo: undefined, room: 0, results });
      expect(await bench.work.release(OUTBOUND, read, IDLE_MS)).toBe('idle');
    });
  });

  it('puts the claimed messages back as queued, with history and event, for the next owner', async () => {
    const [read, next] = [await bench.add(), await bench.add()];
    const readTo = await newestClaim();
    const other = neighbour('other');
    await bench.become('online', { clientId: other });
    const unread = await bench.add({ clientId: other });
    expect(await bench.work.release(OUTBOUND, readTo)).toBe('due');
    for (const id of [read, unread]) {
      expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
      expect(await bench.eventsOf(id)).toEqual(['queued', 'in_flight', 'queued']);
    }
    expect(await bench.statuses(next)).toEqual(['queued']);
    const { keys } = bench;
    expect(await bench.redis.exists(keys.owner(OUTBOUND), keys.claimed(SHARD), keys.claims(SHARD))).toBe(0);
    expect((await bench.redis.zrange(keys.ready(SHARD), '0', '-1')).toSorted()).toEqual([CLIENT, other].toSorted());
    // They can be cancelled, and the next owner keeps the order of the others.
    expect(await bench.messages.cancel(unread)).toEqual({ kind: 'cancelled' });
    expect(await bench.claim()).toMatchObject({ messageId: read, attempt: 2 });
  });

  it('shows a message that it puts back as held if its client has gone offline', async () => {
    const id = await bench.add();
    await bench.become('offline');
    await bench.work.release(OUTBOUND, undefined);
    expect(await bench.eventsOf(id)).toEqual(['queued', 'in_flight', 'held']);
    expect((await bench.messages.read(id))?.status).toBe('held');
  });

  it('passes over a claimed connection without a message, and one whose outbox is not a list', async () => {
    await bench.redis.sadd(bench.keys.claimed(SHARD), 'empty', 'odd');
    await bench.redis.set(bench.keys.outbox(SHARD, 'odd'), 'x');
    expect(await bench.work.release(OUTBOUND, undefined)).toBe('due');
    // The next owner leaves the one, and dead-letters the other.
    expect(await bench.step({ room: 5 })).toMatchObject({ claimed: [], unreadable: 1, left: { empty: 2 } });
  });

  it('says that no work is due if nothing is claimed or ready', async () => {
    expect(await bench.work.release(OUTBOUND, undefined)).toBe('idle');
    await own();
    await addWaiting();
    expect(await bench.work.release(OUTBOUND, undefined)).toBe('due');
  });

  it('makes the next acceptance ask for an activation', async () => {
    await bench.work.release(OUTBOUND, undefined, IDLE_MS);
    expect((await bench.messages.accept(SHARD, [bench.minted()])).wake).toBe(true);
  });

  it('works while Redis is full', async () => {
    const id = await bench.add();
    await bench.redis.config('SET', 'maxmemory', '1');
    try {
      await bench.work.takeOver(OUTBOUND);
      await bench.work.close(OUTBOUND, 1000);
      const results = [{ clientId: CLIENT, outcome: 'unwritten' } as const];
      await bench.work.step(OUTBOUND, { readTo: await newestClaim(), room: 0, results });
      expect(await bench.work.release(OUTBOUND, undefined)).toBe('due');
      expect((await dueShards(bench.redis, bench.keys, SHARDS)).length).toBe(1);
      await ringOutboundOf(bench.redis, bench.keys, SHARD, { wake: () => Promise.resolve() });
    } finally {
      await bench.redis.config('SET', 'maxmemory', '0');
    }
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued']);
  });
});

describe('the shards with work', () => {
  const due = () => dueShards(bench.redis, bench.keys, SHARDS);
  const others = Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => shard !== SHARD);

  it('are those with a ready or a claimed connection, with the time until then and what is left of the lease', async () => {
    expect(await due()).toEqual([]);
    const { redis, keys } = bench;
    await redis.zadd(keys.ready(SHARD), 0, CLIENT);
    const [claimed = NaN, later = NaN, never = NaN] = others;
    await redis.sadd(keys.claimed(claimed), 'a');
    await redis.zadd(keys.ready(claimed), ((await bench.now()) + 60_000) * 1000, 'b');
    await redis.zadd(keys.ready(later), ((await bench.now()) + 60_000) * 1000, 'c');
    // Its connection is ready when its claim ends.
    await redis.zadd(keys.ready(never), '+inf', 'd');
    const found = new Map((await due()).map((one) => [one.shard, one]));
    expect([...found.keys()].toSorted()).toEqual([SHARD, claimed, later].toSorted());
    expect(found.get(SHARD)?.dueInMs).toBe(0);
    expect(found.get(SHARD)?.leaseMs).toBeGreaterThan(50_000);
    expect(found.get(SHARD)?.leaseMs).toBeLessThanOrEqual(60_000);
    expect(found.get(claimed)).toEqual({ shard: claimed, leaseMs: undefined, dueInMs: 0, waiting: 0, oldestMs: 0 });
    expect(found.get(later)?.dueInMs).toBeGreaterThan(50_000);
    expect(found.get(later)?.dueInMs).toBeLessThanOrEqual(60_000);
    expect(found.get(later)?.leaseMs).toBeUndefined();
  });

  it('come with the number of connections that are ready now, and for how long the first one has been', async () => {
    const { redis, keys } = bench;
    const now = await bench.now();
    const times = { a: now - 4000, b: now - 9000, c: now + 60_000 };
    for (const [id, at] of Object.entries(times)) await redis.zadd(keys.ready(SHARD), at * 1000, id);
    await redis.zadd(keys.ready(SHARD), '+inf', 'd');
    const [found] = await due();
    expect(found?.waiting).toBe(2);
    expect(found?.oldestMs).toBeGreaterThanOrEqual(9000);
    expect(found?.oldestMs).toBeLessThanOrEqual((await bench.now()) - times.b);
  });

  it('cannot be read if Redis is away', async () => {
    const away = connectRedis('redis://127.0.0.1:1', { name: 'spec-away', whenAway: 'fail' }, quiet);
    await expect(dueShards(away, bench.keys, SHARDS)).rejects.toThrow();
    away.disconnect();
  });
});

describe('ringing for a shard', () => {
  const activated: number[][] = [];
  const ring = () =>
    ringOutboundOf(bench.redis, bench.keys, SHARD, {
      wake: (shards) => {
        activated.push([...shards]);
        return Promise.resolve();
      },
    });

  beforeEach(() => activated.splice(0));

  it('appends to the stream of claims of its owner', async () => {
    await ring();
    const entries = await bench.redis.xrange(bench.keys.claims(SHARD), '-', '+');
    expect([entries.map(([, fields]) => fields), activated]).toEqual([[['bell', '']], []]);
  });

  it('activates the shard if nobody owns it', async () => {
    await bench.redis.del(bench.keys.owner(OUTBOUND));
    await ring();
    expect([await bench.redis.exists(bench.keys.claims(SHARD)), activated]).toEqual([0, [[SHARD]]]);
  });

  it.each([true, false])('takes over what waits under the names of 0.1.0 (with an owner: %s)', async (owned) => {
    const { redis, keys } = bench;
    if (!owned) await redis.del(keys.owner(OUTBOUND));
    const shard = keys.shard(SHARD);
    await redis.zadd(`${shard}:woken`, 0, 'a');
    await redis.sadd(`${shard}:draining`, 'b');
    await redis.set(`${shard}:drain-run`, '1795000000000000');
    await ring();
    expect(await redis.exists(`${shard}:woken`, `${shard}:draining`, `${shard}:drain-run`)).toBe(0);
    expect(await dueShards(redis, keys, SHARDS)).toMatchObject([{ shard: SHARD, dueInMs: 0 }]);
    expect([await redis.zrange(keys.ready(SHARD), '0', '-1'), await redis.smembers(keys.claimed(SHARD))]).toEqual([
      ['a'],
      ['b'],
    ]);
    // A step tells its owner that more is claimed than it knows.
    if (owned) expect(await bench.step({})).toMatchObject({ inFlight: 1, readyInMs: 0 });
  });

  it('does not let the stream grow if its owner does not read', async () => {
    const fill = bench.redis.multi();
    for (let i = 0; i < 5000; i++) fill.xadd(bench.keys.claims(SHARD), '*', 'bell', '');
    await fill.exec();
    await ring();
    expect(await bench.redis.xlen(bench.keys.claims(SHARD))).toBeLessThan(2200);
  });
});
