/** An owner loop on real mailboxes, whose handler records what it gets, on one Redis and on a Redis Cluster. */
import { connectRedis, isCluster, type Redis } from '@app/platform';
import { FencedCommit, RegistryKeys } from '@app/registry';
import { Mailboxes, OwnerLoop, mailboxReader, type Grant, type MailboxEntry, type ShardHandler } from '@app/sharding';
import { eventually, quiet, startRedis, startRedisCluster } from './servers.js';

/** Number of mailboxes that tests append to. */
export const SHARDS = 12;
const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };

interface Call {
  shard: number;
  position: string;
  ids: string[];
  texts: string[];
}

/** `call`: the number of this call, from 1 on. */
type Handle = (grant: Grant, position: string, entries: readonly MailboxEntry[], call: number) => Promise<void>;

/** Records its calls, then does what the test says. */
export class RecordingHandler implements ShardHandler {
  readonly calls: Call[] = [];
  readonly forgotten: Grant[] = [];
  /** The most calls for one shard that were under way at the same time. */
  maxConcurrent = 0;
  private readonly pending = new Map<number, number>();

  constructor(private readonly then: Handle) {}

  async handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> {
    const { index: shard } = grant;
    const pending = (this.pending.get(shard) ?? 0) + 1;
    this.maxConcurrent = Math.max(this.maxConcurrent, pending);
    this.pending.set(shard, pending);
    this.calls.push({ shard, position, ids: entries.map(({ id }) => id), texts: entries.map(({ text }) => text) });
    try {
      await this.then(grant, position, entries, this.calls.length);
    } finally {
      this.pending.set(shard, pending - 1);
    }
  }

  forget(grant: Grant): void {
    this.forgotten.push(grant);
  }

  textsOf(shard: number): string[] {
    return this.callsOf(shard).flatMap(({ texts }) => texts);
  }

  callsOf(shard: number): Call[] {
    return this.calls.filter((call) => call.shard === shard);
  }
}

/** A read of this connection does not end by itself. */
export function blockForever(redis: Redis): void {
  const read = redis.xread.bind(redis) as (...args: unknown[]) => Promise<unknown>;
  const withoutEnd = (...args: unknown[]) => read(...args.map((arg, i) => (args[i - 1] === 'BLOCK' ? 0 : arg)));
  Object.assign(redis, { xread: withoutEnd });
}

/** The connection of this name as Redis lists it, once it blocks. */
export async function blockedClient(redis: Redis, name: string): Promise<string> {
  let found: string | undefined;
  await eventually('the read blocks', async () => {
    const clients = String(await redis.client('LIST')).split('\n');
    found = clients.find((line) => line.includes(`name=${name} `) && / flags=\w*b/.test(line));
    expect(found).toBeDefined();
  });
  return found ?? '';
}

let keySpaces = 0;

/** What one test works with: a key space of its own, and an owner loop that stops after the test. */
export class LoopBench {
  readonly keys = new RegistryKeys(`loop${keySpaces++}`);
  readonly commits: FencedCommit;
  readonly mailboxes: Mailboxes;
  /** Grants that the loop has reported as lost, and why. */
  readonly lost: Grant[] = [];
  readonly howLost: ('refused' | 'overdue')[] = [];
  /** Grants whose lease counts as overdue. */
  readonly overdue: Grant[] = [];
  private loop: OwnerLoop | undefined;
  private sequence = 0;

  constructor(
    readonly redis: Redis,
    private readonly blocking: Redis,
  ) {
    this.commits = new FencedCommit(redis, this.keys);
    this.mailboxes = new Mailboxes(redis, this.keys, 100_000);
  }

  async open(): Promise<void> {
    await this.mailboxes.announce(LANE, SHARDS);
  }

  async close(): Promise<void> {
    await this.loop?.stop();
    this.blocking.disconnect();
  }

  /** Blocking reads do not end by themselves. */
  readWithoutEnd(): void {
    blockForever(this.blocking);
  }

  /** Resolves when a read blocks; at once on a Redis Cluster, where reads do not block. */
  async untilReading(): Promise<void> {
    if (!isCluster(this.redis)) await blockedClient(this.redis, 'blocking');
  }

  recorder(then: Handle = this.commitAll): RecordingHandler {
    return new RecordingHandler(then);
  }

  begin(handler: ShardHandler): OwnerLoop {
    const ownership = {
      mayAct: (grant: Grant): boolean => !this.overdue.includes(grant),
      lost: (grant: Grant, how: 'refused' | 'overdue' = 'refused'): void => {
        this.lost.push(grant);
        this.howLost.push(how);
      },
    };
    this.loop = new OwnerLoop(
      mailboxReader(this.blocking, this.redis, this.keys),
      this.commits,
      handler,
      ownership,
      quiet,
    );
    return this.loop;
  }

  /** Makes this process the owner of a shard in Redis. */
  async own(shard: number, epoch = 1): Promise<Grant> {
    const grant: Grant = { kind: 'shard', index: shard, epoch, fence: `${epoch}:boot` };
    await this.redis.set(this.keys.owner(grant), grant.fence);
    return grant;
  }

  async append(shard: number, ...texts: string[]): Promise<void> {
    const items = texts.map((text) => ({ text }));
    await this.mailboxes.append(LANE, ++this.sequence, new Map([[shard, items]]));
  }

  /** Commits a list of the texts that were applied, see `applied`. */
  readonly commitAll = async (grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> => {
    await this.commits.commit(
      grant,
      position,
      entries.at(-1)?.id ?? '',
      entries.map(({ text }) => ({ command: ['RPUSH', this.appliedKey(grant.index), text] })),
    );
  };

  applied(shard: number): Promise<string[]> {
    return this.redis.lrange(this.appliedKey(shard), 0, -1);
  }

  private appliedKey(shard: number): string {
    return `${this.keys.shard(shard)}:applied`;
  }
}

/** Runs the tests on one Redis and on a Redis Cluster; `begin` is given the bench of each test. */
export function onEachTopology(begin: (bench: LoopBench) => void, tests: () => void): void {
  describe.each([
    ['one Redis', startRedis],
    ['a Redis Cluster', startRedisCluster],
  ])('the owner loop on %s', (_topology, start) => {
    let server: Awaited<ReturnType<typeof start>>;
    let redis: Redis;
    let bench: LoopBench;

    beforeAll(async () => {
      server = await start();
      redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
    });

    afterAll(async () => {
      await redis.quit();
      await server.stop();
    });

    beforeEach(async () => {
      bench = new LoopBench(redis, connectRedis(server.url, { name: 'blocking', whenAway: 'wait' }, quiet));
      await bench.open();
      begin(bench);
    });

    afterEach(() => bench.close());

    tests();
  });
}

/** Texts `<shard>/0`, `<shard>/1`, … */
export function numbered(shard: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${shard}/${i}`);
}
