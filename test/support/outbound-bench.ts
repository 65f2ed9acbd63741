/** Shards whose outbound sides a spec owns, with a real Redis and a broker that the spec steers. */
import { Publisher } from '@app/broker';
import { closeRedis, connectRedis, type Redis } from '@app/platform';
import { TopicTemplate, shardOf } from '@app/protocol';
import { Messages, OutboundWork, RegistryKeys, claimsReader, type ClaimEntry, type NewMessage } from '@app/registry';
import type { Grant, StreamReader } from '@app/sharding';
import type { OutboundDependencies } from '../../apps/dispatcher/src/outbound/outbound-dependencies.js';
import { OutboundShard } from '../../apps/dispatcher/src/outbound/outbound-shard.js';
import { Publishing } from '../../apps/dispatcher/src/outbound/publishing.js';
import type { Semaphore } from '../../apps/dispatcher/src/outbound/semaphore.js';
import { PubackBroker } from './puback-broker.js';
import { withRedis } from './redis.js';
import { eventually, quiet } from './servers.js';

export const SHARDS = 4;
export const LEASE_MS = 60_000;
export const OUT = new TopicTemplate('out/{clientId}');
export const TOPICS = { out: OUT, in: new TopicTemplate('in/{clientId}') };
/** Clients of each shard. */
export const clients = Array.from({ length: SHARDS }, (_, shard) =>
  Array.from({ length: 400 }, (__, i) => `client-${i}`).filter((id) => shardOf(id, SHARDS) === shard),
);

export function client(shard: number, i: number): string {
  return clients[shard]?.[i] ?? '';
}

/** A shard that this process owns, with the events that its owner hears of. */
export interface OwnedShard {
  shard: OutboundShard;
  grant: Grant;
  isLost: boolean;
  hasFailed: boolean;
  isPassivated: boolean;
}

let keySpaces = 0;

/** Registers hooks that start a Redis for the spec file, and give each test a bench with a broker and a key space of its own. */
export function withOutboundShards(begin: (bench: OutboundBench) => void): void {
  let redis: Redis;
  let url: string;
  let bench: OutboundBench;
  withRedis((connection, server) => {
    redis = connection;
    url = server.url;
  });
  beforeEach(async () => {
    bench = new OutboundBench(redis, url, await PubackBroker.start());
    begin(bench);
    await eventually('the publisher is connected', () => expect(bench.publisher.connected).toBe(true));
  });
  afterEach(() => bench.stop());
}

export class OutboundBench {
  readonly keys = new RegistryKeys(`outbound${keySpaces++}`);
  readonly messages: Messages;
  readonly work: OutboundWork;
  readonly publisher: Publisher;
  readonly owned: OwnedShard[] = [];
  readonly claims: StreamReader<ClaimEntry>;
  private readonly reading: Redis;

  constructor(
    readonly redis: Redis,
    url: string,
    readonly broker: PubackBroker,
  ) {
    const limits = { shardCount: SHARDS, outboxLimit: 9999, shardLimit: 9999, retentionMs: 60_000 };
    this.messages = new Messages(redis, this.keys, limits);
    this.work = new OutboundWork(redis, this.keys);
    this.reading = connectRedis(url, { name: 'reading', whenAway: 'wait' }, quiet);
    this.claims = claimsReader(this.reading, redis, this.keys);
    this.publisher = new Publisher({ url: broker.url }, `outbound-${keySpaces}`, quiet);
  }

  async stop(): Promise<void> {
    await Promise.all(this.owned.map((one) => one.shard.finish(true)));
    await this.publisher.close();
    await this.broker.stop();
    await closeRedis(this.reading);
  }

  async accept(shard: number, id: string, count = 1, more: Partial<NewMessage> = {}): Promise<string[]> {
    await this.redis.zadd(this.keys.online(shard, 'host'), 0, id);
    const wanted = Array.from({ length: count }, () => ({
      messageId: this.messages.mint(id),
      clientId: id,
      directive: 'test:run',
      payloadJson: undefined,
      ttlMs: 600_000,
      whenOffline: 'hold' as const,
      idempotencyKey: undefined,
      requestId: 'r',
      ...more,
    }));
    const { outcomes } = await this.messages.accept(shard, wanted);
    expect(outcomes.map(({ kind }) => kind)).toEqual(wanted.map(() => 'accepted'));
    return wanted.map(({ messageId }) => messageId);
  }

  /** Clients of all PUBLISH packets, in the order of their arrival at the broker. */
  published(): string[] {
    return this.broker.published.map(({ topic }) => topic.slice('out/'.length));
  }

  publishedIds(): string[] {
    return this.broker.published.map(({ payload }) => (JSON.parse(payload) as { message_id: string }).message_id);
  }

  dependenciesOf(semaphore: Semaphore, more: Partial<OutboundDependencies> = {}): OutboundDependencies {
    const { work, publisher } = this;
    const publishing = new Publishing(publisher, TOPICS, quiet);
    return { work, publishing, semaphore, isConnected: () => publisher.connected, logger: quiet, ...more };
  }

  /** The commands of a shard, of which some are replaced. */
  withSteps(replaced: Partial<OutboundDependencies['work']>): OutboundDependencies['work'] {
    const { work } = this;
    return {
      step: (...args) => work.step(...args),
      takeOver: (...args) => work.takeOver(...args),
      close: (...args) => work.close(...args),
      release: (...args) => work.release(...args),
      ...replaced,
    };
  }

  async own(index: number, of: OutboundDependencies, epoch = 1): Promise<OwnedShard> {
    const grant: Grant = { kind: 'outbound', index, epoch, fence: `${epoch}:spec` };
    await this.redis.set(this.keys.owner(grant), grant.fence);
    const shard = new OutboundShard(of, {
      grant,
      leaseMs: LEASE_MS,
      actUntil: () => performance.now() + LEASE_MS,
      lost: () => (one.isLost = true),
      failed: () => (one.hasFailed = true),
      passivated: () => (one.isPassivated = true),
    });
    const one: OwnedShard = { shard, grant, isLost: false, hasFailed: false, isPassivated: false };
    this.owned.push(one);
    await shard.start();
    return one;
  }

  /** Reads the claims of a shard once, as the loop of a dispatcher does. */
  async read({ shard, grant }: OwnedShard): Promise<void> {
    const position = shard.position;
    if (position === undefined) return;
    await this.claims.read(new Map([[grant.index, position]]), (_, entries) => shard.receive(entries));
  }

  async untilEmpty(...ids: (readonly [shard: number, id: string])[]): Promise<void> {
    await eventually('the outboxes are empty', async () => {
      for (const [shard, id] of ids) expect(await this.redis.exists(this.keys.outbox(shard, id))).toBe(0);
    });
  }
}
