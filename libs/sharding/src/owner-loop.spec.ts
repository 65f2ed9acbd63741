import { connectRedis, type Redis } from '@app/platform';
import { eventually, gate, quiet, startRedis, startRedisCluster, type Gate } from '../../../test/support/servers.js';
import { FencedCommit } from './fenced-commit.js';
import { mailboxReader } from './mailbox-reader.js';
import { Mailboxes, type MailboxEntry } from './mailbox.js';
import { OwnerLoop, type ShardHandler } from './owner-loop.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import { ShardingKeys } from './sharding-keys.js';

/** Of the mailboxes that tests post to. */
const SHARDS = 12;
const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };

let redis: Redis;
let blocking: Redis;
let keys: ShardingKeys;
let commits: FencedCommit;
let mailboxes: Mailboxes;
let loop: OwnerLoop | undefined;
let lost: Grant[];
let howLost: ('refused' | 'overdue')[];
let overdue: Grant[];

/** As a process sees its own leases: all stand, but for those in `overdue`. */
const ownership = {
  mayAct: (grant: Grant): boolean => !overdue.includes(grant),
  lost: (grant: Grant, how: 'refused' | 'overdue' = 'refused'): void => {
    lost.push(grant);
    howLost.push(how);
  },
};
let keySpaces = 0;

interface Call {
  shard: number;
  position: string;
  ids: string[];
  bodies: string[];
}

type Handle = (grant: Grant, position: string, entries: readonly MailboxEntry[], call: number) => Promise<void>;

/** Notes what it is handed, then does what the test says; by default it commits. */
class Recorder implements ShardHandler {
  readonly calls: Call[] = [];
  readonly busy = new Map<number, number>();
  readonly forgotten: Grant[] = [];
  most = 0;

  constructor(private readonly then: Handle = commitAll) {}

  async handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> {
    const { index: shard } = grant;
    const running = (this.busy.get(shard) ?? 0) + 1;
    this.most = Math.max(this.most, running);
    this.busy.set(shard, running);
    this.calls.push({ shard, position, ids: entries.map(({ id }) => id), bodies: entries.map(({ text }) => text) });
    try {
      await this.then(grant, position, entries, this.calls.length);
    } finally {
      this.busy.set(shard, running - 1);
    }
  }

  forget(grant: Grant): void {
    this.forgotten.push(grant);
  }

  bodiesOf(shard: number): string[] {
    return this.callsOf(shard).flatMap(({ bodies }) => bodies);
  }

  callsOf(shard: number): Call[] {
    return this.calls.filter((call) => call.shard === shard);
  }
}

async function commitAll(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> {
  await commits.commit(
    grant,
    position,
    entries.at(-1)?.id ?? '',
    entries.map(({ text }) => ({ command: ['RPUSH', applied(grant.index), text] })),
  );
}

function applied(shard: number): string {
  return `${keys.shard(shard)}:applied`;
}

function begin(handler: ShardHandler): OwnerLoop {
  loop = new OwnerLoop(mailboxReader(blocking, keys), commits, handler, ownership, quiet);
  return loop;
}

async function own(shard: number, epoch = 1): Promise<Grant> {
  const grant: Grant = { kind: 'shard', index: shard, epoch, fence: `${epoch}:boot` };
  await redis.set(keys.owner(grant), grant.fence);
  return grant;
}

let sequence = 0;

async function post(shard: number, ...bodies: string[]): Promise<void> {
  const items = bodies.map((text) => ({ text }));
  await mailboxes.append(LANE, ++sequence, new Map([[shard, items]]));
}

function numbered(shard: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${shard}/${i}`);
}

describe.each([
  ['one Redis', startRedis],
  ['a Redis Cluster', startRedisCluster],
])('on %s', (_topology, start) => {
  let server: Awaited<ReturnType<typeof start>>;

  beforeAll(async () => {
    server = await start();
    redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
  });

  afterAll(async () => {
    await redis.quit();
    await server.stop();
  });

  beforeEach(async () => {
    keys = new ShardingKeys(`loop${keySpaces++}`);
    commits = new FencedCommit(redis, keys);
    mailboxes = new Mailboxes(redis, keys, 100_000);
    await mailboxes.announce(LANE, SHARDS);
    lost = [];
    howLost = [];
    overdue = [];
    blocking = connectRedis(server.url, { name: 'blocking', whenAway: 'wait' }, quiet);
  });

  afterEach(async () => {
    await loop?.stop();
    loop = undefined;
    blocking.disconnect();
  });

  describe('the loop over the shards of a process', () => {
    it('hands the entries of many shards over in their order, each once', async () => {
      const recorder = new Recorder();
      const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
      for (const shard of shards) await post(shard, ...numbered(shard, 300));
      const running = begin(recorder);
      for (const shard of shards) await running.add(await own(shard));
      await eventually(() => {
        for (const shard of shards) expect(recorder.bodiesOf(shard)).toHaveLength(300);
      });
      for (const shard of shards) {
        expect(recorder.bodiesOf(shard)).toEqual(numbered(shard, 300));
        expect(await redis.lrange(applied(shard), 0, -1)).toEqual(numbered(shard, 300));
        expect(await redis.xlen(keys.mailbox(shard))).toBe(0);
      }
    });

    it('hands over one batch of a shard at a time, and continues where the last one ended', async () => {
      const recorder = new Recorder();
      const running = begin(recorder);
      await post(0, ...numbered(0, 400));
      await running.add(await own(0));
      for (let i = 400; i < 440; i++) await post(0, `0/${i}`);
      await eventually(() => expect(recorder.bodiesOf(0)).toHaveLength(440));
      expect(recorder.bodiesOf(0)).toEqual(numbered(0, 440));
      expect(recorder.most).toBe(1);
      expect(recorder.calls[0]?.position).toBe('0-0');
      recorder.calls.slice(1).forEach((call, i) => expect(call.position).toBe(recorder.calls[i]?.ids.at(-1)));
      expect(recorder.calls.length).toBeGreaterThan(3);
    });

    it('handles the shards of one read side by side', async () => {
      const granted = gate();
      const begun = [gate(), gate()];
      const recorder = new Recorder(async (grant, position, entries) => {
        // The third shard holds the loop until the next read finds entries of both others.
        if (grant.index === 2) await granted.passed;
        begun[grant.index]?.open();
        // Neither of the two would end if one had to wait for the other.
        if (grant.index < 2) await Promise.all(begun.map(({ passed }) => passed));
        await commitAll(grant, position, entries);
      });
      const running = begin(recorder);
      for (const shard of [0, 1, 2]) await post(shard, 'x');
      for (const shard of [2, 0, 1]) await running.add(await own(shard));
      granted.open();
      await eventually(async () => {
        for (const shard of [0, 1, 2]) expect(await redis.exists(applied(shard))).toBe(1);
      });
    });

    it('gives the handler entries as they were appended', async () => {
      const seen = gate<MailboxEntry>();
      const recorder = new Recorder(async (grant, position, entries) => {
        if (entries[0] !== undefined) seen.open(entries[0]);
        await commitAll(grant, position, entries);
      });
      await begin(recorder).add(await own(0));
      await mailboxes.send(0, 'ü😀\n\n{}');
      expect(await seen.passed).toEqual({
        id: expect.stringMatching(/^\d+-\d+$/) as string,
        text: 'ü😀\n\n{}',
      });
    });

    it('reads a shard that is granted while it runs', async () => {
      const recorder = new Recorder();
      const running = begin(recorder);
      await running.add(await own(0));
      await post(0, 'first');
      await eventually(() => expect(recorder.bodiesOf(0)).toEqual(['first']));
      await post(1, 'waits');
      await running.add(await own(1));
      await eventually(() => expect(recorder.bodiesOf(1)).toEqual(['waits']));
    });

    it('starts a shard from its stored position, not from its first entry', async () => {
      const recorder = new Recorder();
      await post(0, 'done', 'waits');
      const entries = await redis.xrange(keys.mailbox(0), '-', '+');
      const first = entries[0]?.[0] ?? '';
      await redis.set(keys.position(0), first);
      await begin(recorder).add(await own(0));
      await eventually(() => expect(recorder.bodiesOf(0)).toEqual(['waits']));
      expect(recorder.calls[0]?.position).toBe(first);
    });

    it('hands nothing over of a shard that was removed', async () => {
      const recorder = new Recorder();
      const running = begin(recorder);
      const grant = await own(0);
      await running.add(grant);
      await running.add(await own(1));
      await post(0, 'before');
      await eventually(() => expect(recorder.bodiesOf(0)).toEqual(['before']));
      await running.remove(grant);
      await post(0, 'after');
      await post(1, 'marker');
      await eventually(() => expect(recorder.bodiesOf(1)).toEqual(['marker']));
      expect(recorder.bodiesOf(0)).toEqual(['before']);
    });

    it('keeps a newer grant when an older one of the same shard is removed', async () => {
      const recorder = new Recorder();
      const running = begin(recorder);
      const old = await own(0, 1);
      await running.add(old);
      await running.add(await own(0, 2));
      await running.remove(old);
      await post(0, 'x');
      await eventually(async () => expect(await redis.lrange(applied(0), 0, -1)).toEqual(['x']));
    });
  });

  describe('a handler that fails', () => {
    it('is called again from the position that was stored', async () => {
      const recorder = new Recorder(async (grant, position, entries, call) => {
        if (call > 1) return commitAll(grant, position, entries);
        // Three of five are committed, then it breaks.
        await commitAll(grant, position, entries.slice(0, 3));
        throw new Error('broken');
      });
      await post(0, 'a', 'b', 'c', 'd', 'e');
      await begin(recorder).add(await own(0));
      await eventually(async () => expect(await redis.llen(applied(0))).toBe(5));
      expect(await redis.lrange(applied(0), 0, -1)).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(recorder.calls.map(({ bodies }) => bodies)).toEqual([
        ['a', 'b', 'c', 'd', 'e'],
        ['d', 'e'],
      ]);
      expect(recorder.calls[1]?.position).toBe(recorder.calls[0]?.ids[2]);
      expect(lost).toEqual([]);
    });

    it('is called again with everything where nothing was stored', async () => {
      const recorder = new Recorder((grant, position, entries, call) =>
        call < 3 ? Promise.reject(new Error('broken')) : commitAll(grant, position, entries),
      );
      await post(0, 'a', 'b');
      await begin(recorder).add(await own(0));
      await eventually(async () => expect(await redis.llen(applied(0))).toBe(2));
      expect(recorder.calls.map(({ bodies }) => bodies)).toEqual([
        ['a', 'b'],
        ['a', 'b'],
        ['a', 'b'],
      ]);
    });

    it('does not undo the progress of the shards beside it', async () => {
      const recorder = new Recorder((grant, position, entries, call) =>
        grant.index === 0 && call < 4 ? Promise.reject(new Error('broken')) : commitAll(grant, position, entries),
      );
      for (const shard of [0, 1, 2]) await post(shard, ...numbered(shard, 200));
      const running = begin(recorder);
      for (const shard of [0, 1, 2]) await running.add(await own(shard));
      await eventually(async () => {
        for (const shard of [0, 1, 2]) expect(await redis.llen(applied(shard))).toBe(200);
      });
      for (const shard of [0, 1, 2]) expect(await redis.lrange(applied(shard), 0, -1)).toEqual(numbered(shard, 200));
    });

    it('with StaleOwnerError loses this shard alone, and reports it once', async () => {
      const recorder = new Recorder();
      const running = begin(recorder);
      const grants = [await own(0), await own(1), await own(2)];
      for (const grant of grants) await running.add(grant);
      await own(1, 2);
      for (const shard of [0, 1, 2]) await post(shard, 'first');
      await eventually(() => expect(lost).toEqual([grants[1]]));
      expect(howLost).toEqual(['refused']);
      for (const shard of [0, 1, 2]) await post(shard, 'second');
      await eventually(async () => {
        for (const shard of [0, 2]) expect(await redis.lrange(applied(shard), 0, -1)).toEqual(['first', 'second']);
      });
      expect(await redis.exists(applied(1))).toBe(0);
      expect(recorder.callsOf(1)).toHaveLength(1);
      expect(lost).toEqual([grants[1]]);
    });

    it('recovers from a position that another writer moved', async () => {
      const recorder = new Recorder();
      await post(0, 'a', 'b', 'c');
      const ids = (await redis.xrange(keys.mailbox(0), '-', '+')).map(([id]) => id);
      const running = begin(
        new Recorder(async (grant, position, entries, call) => {
          // As if an earlier try of this very process had got through in part.
          if (call === 1) await redis.set(keys.position(0), ids[0] ?? '');
          await recorder.handle(grant, position, entries);
        }),
      );
      await running.add(await own(0));
      await eventually(async () => expect(await redis.lrange(applied(0), 0, -1)).toEqual(['b', 'c']));
      expect(lost).toEqual([]);
    });

    it('makes its own shard wait, not the others', async () => {
      const recorder = new Recorder((grant, position, entries) =>
        grant.index === 0 ? Promise.reject(new Error('always broken')) : commitAll(grant, position, entries),
      );
      const running = begin(recorder);
      await running.add(await own(0));
      await running.add(await own(1));
      await post(0, 'poison');
      await eventually(() => expect(recorder.callsOf(0)).not.toHaveLength(0));
      for (let i = 1; i <= 12; i++) {
        await post(1, `1/${i}`);
        await eventually(() => expect(recorder.bodiesOf(1)).toHaveLength(i));
      }
      // Its waits double, so it is tried far less often than the healthy shard beside it is served.
      expect(recorder.callsOf(0).length).toBeLessThan(recorder.callsOf(1).length);
    });
  });

  describe('a shard that is given up', () => {
    it('is read no more once its batch in hand is done, and is forgotten', async () => {
      const inHand = gate();
      const begun = gate();
      const recorder = new Recorder(async (grant, position, entries) => {
        begun.open();
        await inHand.passed;
        await commitAll(grant, position, entries);
      });
      const running = begin(recorder);
      const grant = await own(0);
      await post(0, 'in hand');
      await running.add(grant);
      await begun.passed;
      let removed = false;
      const removing = running.remove(grant).then(() => {
        removed = true;
      });
      await post(0, 'for the next owner');
      await redis.ping();
      expect(removed).toBe(false);
      inHand.open();
      await removing;
      expect(recorder.forgotten).toEqual([grant]);
      const other = await own(1);
      await post(1, 'other');
      await running.add(other);
      await eventually(() => expect(recorder.bodiesOf(1)).toEqual(['other']));
      expect(recorder.bodiesOf(0)).toEqual(['in hand']);
    });

    it('is not acted for once its lease is overdue, even before anybody has noticed', async () => {
      const recorder = new Recorder();
      const running = begin(recorder);
      const grant = await own(0);
      await running.add(grant);
      overdue.push(grant);
      await post(0, 'late');
      await eventually(() => expect(lost).toContain(grant));
      expect(howLost).toEqual(['overdue']);
      expect(recorder.calls).toEqual([]);
      expect(await redis.xlen(keys.mailbox(0))).toBe(1);
    });
  });

  describe('stopping', () => {
    let inHand: Gate;
    let begun: Gate;

    beforeEach(() => {
      inHand = gate();
      begun = gate();
    });

    it('waits for the batch in hand and reads no more', async () => {
      const recorder = new Recorder(async (grant, position, entries) => {
        begun.open();
        await inHand.passed;
        await commitAll(grant, position, entries);
      });
      const running = begin(recorder);
      await post(0, 'in hand');
      await running.add(await own(0));
      await begun.passed;
      await post(0, 'too late');
      let stopped = false;
      const stopping = running.stop().then(() => {
        stopped = true;
      });
      await redis.ping();
      expect(stopped).toBe(false);
      inHand.open();
      await stopping;
      expect(await redis.lrange(applied(0), 0, -1)).toEqual(['in hand']);
      expect(await redis.xlen(keys.mailbox(0))).toBe(1);
      expect(recorder.calls).toHaveLength(1);
    });

    it('is done at once where no shard was ever granted', async () => {
      await expect(begin(new Recorder()).stop()).resolves.toBeUndefined();
    });

    it('does not wait out the back-off of a broken handler', async () => {
      const recorder = new Recorder(() => Promise.reject(new Error('always broken')));
      const running = begin(recorder);
      await post(0, 'x');
      await running.add(await own(0));
      await eventually(() => expect(recorder.calls.length).toBeGreaterThan(1));
      await running.stop();
      const calls = recorder.calls.length;
      await post(0, 'y');
      await redis.ping();
      expect(recorder.calls).toHaveLength(calls);
    });
  });
});

it('tells a stale owner which grant it has lost and what to do', () => {
  const grant: Grant = { kind: 'shard', index: 4, epoch: 7, fence: '7:boot' };
  const error = new StaleOwnerError(grant);
  expect(error.message).toBe(
    'shard 4 is owned by another process (our epoch 7 is stale): this process stops acting for it',
  );
  expect(error.name).toBe('StaleOwnerError');
});
