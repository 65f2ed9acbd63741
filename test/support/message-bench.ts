/** Outbound messages in Redis, which a spec accepts, claims and completes by hand with the real commands. */
import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import {
  Messages,
  OutboundWork,
  Outboxes,
  RegistryKeys,
  eventsOfEntry,
  type AcceptOutcome,
  type AcceptedMessage,
  type ClaimedMessage,
  type ConnectionState,
  type ConnectionType,
  type MessageLimits,
  type MintedMessage,
  type NewMessage,
  type OutboundState,
  type OutboundStep,
  type PublishResult,
} from '@app/registry';
import type { Grant } from '@app/sharding';
import { withRedis } from './redis.js';
import { eventually, type Server } from './servers.js';
import { changeStoredMessage, storedMessage } from './stored-message.js';

export const SHARDS = 4;
export const CLIENT = 'host-1';
export const SHARD = shardOf(CLIENT, SHARDS);
export const GRANT: Grant = { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' };
export const LIMITS: MessageLimits = {
  shardCount: SHARDS,
  outboxLimit: 5000,
  shardLimit: 5000,
  retentionMs: 3_600_000,
};

/** The owner of the outbound side, while it has the lease. */
export const OUTBOUND: Grant = { kind: 'outbound', index: SHARD, epoch: 1, fence: '1:bench' };

/** An owner that has lost the lease. */
export const FORMER: Grant = { ...OUTBOUND, epoch: 0, fence: '0:former' };

/** The outcome of a step for one client. */
export type Served =
  | { kind: 'claimed'; message: ClaimedMessage; ahead: ClaimedMessage[] }
  | { kind: 'empty' | 'offline' | 'waiting' | 'interrupted' };

type WithoutClient<One> = One extends unknown ? Omit<One, 'clientId'> : never;

let keySpaces = 0;

/** Registers hooks that start a Redis for the spec file, and give each test a bench in its own key space. */
export function withMessages(
  begin: (bench: MessageBench, server: Server) => void,
  limits: Partial<MessageLimits> = {},
): void {
  let redis: Redis;
  let server: Server;
  withRedis((connection, started) => {
    redis = connection;
    server = started;
  });
  beforeEach(() => begin(new MessageBench(redis, limits), server));
}

export class MessageBench {
  readonly keys = new RegistryKeys(`bench${keySpaces++}`);
  readonly messages: Messages;
  readonly outboxes: Outboxes;
  readonly work: OutboundWork;

  constructor(
    readonly redis: Redis,
    limits: Partial<MessageLimits> = {},
  ) {
    const all = { ...LIMITS, ...limits };
    this.messages = new Messages(redis, this.keys, all);
    this.outboxes = new Outboxes(redis, this.keys, all.shardCount);
    this.work = new OutboundWork(redis, this.keys);
  }

  /** Stores the owner of the shard, for commands that need one. */
  async own(): Promise<void> {
    await this.redis.set(this.keys.owner(GRANT), GRANT.fence);
  }

  /** Stores the state of a client as a commit does; undefined stands for a client that is forgotten. */
  async become(
    state: ConnectionState | undefined,
    {
      clientId = CLIENT,
      type = 'host',
      account,
    }: { clientId?: string; type?: ConnectionType; account?: string | undefined } = {},
  ): Promise<void> {
    const { keys } = this;
    const shard = this.messages.shardOf(clientId);
    const changes = this.redis.multi();
    const sets = { online: keys.online(shard, type), offline: keys.offline(shard, type, 'goodbye') };
    for (const set of Object.values(sets)) changes.zrem(set, clientId);
    if (state === undefined) changes.hdel(keys.connections(shard), clientId);
    else changes.hset(keys.connections(shard), clientId, '{}').zadd(sets[state], 0, clientId);
    if (account === undefined) changes.hdel(keys.accounts(shard), clientId);
    else changes.hset(keys.accounts(shard), clientId, account);
    await changes.exec();
  }

  message(more: Partial<NewMessage> = {}): NewMessage {
    return {
      clientId: CLIENT,
      directive: 'rhc:work',
      payloadJson: '{"a":1}',
      ttlMs: 600_000,
      whenOffline: 'hold',
      idempotencyKey: undefined,
      requestId: 'request-1',
      ...more,
    };
  }

  minted(more: Partial<MintedMessage> = {}): MintedMessage {
    const message = this.message(more);
    return { messageId: this.messages.mint(message.clientId), ...message };
  }

  /** Accepts one message. */
  async accept(more: Partial<MintedMessage> = {}): Promise<AcceptOutcome> {
    const message = this.minted(more);
    const { outcomes } = await this.messages.accept(this.messages.shardOf(message.clientId), [message]);
    const [outcome] = outcomes;
    if (outcome === undefined) throw new Error('accepting a message returned no outcome');
    return outcome;
  }

  async accepted(more: Partial<MintedMessage> = {}): Promise<AcceptedMessage> {
    const outcome = await this.accept(more);
    if (outcome.kind !== 'accepted') throw new Error(`the message was not accepted: ${outcome.kind}`);
    return outcome.message;
  }

  /** Accepts one message. @returns its id */
  async add(more: Partial<MintedMessage> = {}): Promise<string> {
    return (await this.accepted(more)).messageId;
  }

  /** A new owner takes over what an earlier one has claimed, and takes a connection. While it has the lease, nobody else acts. */
  async takeOver(): Promise<Served> {
    const { redis, keys } = this;
    if ((await redis.sismember(keys.claimed(SHARD), CLIENT)) === 0) await redis.zadd(keys.ready(SHARD), 0, CLIENT);
    return this.owning(async (grant) => {
      const { clientIds } = await this.work.takeOver(grant);
      const results = clientIds.map((clientId): PublishResult => ({ clientId, outcome: 'unwritten' }));
      return servedOf(await this.work.step(grant, { readTo: undefined, room: 1, results }));
    });
  }

  /** Takes over, and expects a claimed message. */
  async claim(): Promise<ClaimedMessage> {
    return claimed(await this.takeOver());
  }

  /** Completes a publish. */
  async complete(result: WithoutClient<PublishResult>): Promise<Served> {
    return servedOf(await this.step({ room: 1, results: [{ ...result, clientId: CLIENT }] }));
  }

  /** Completes a publish for an owner that has lost the lease to another one. */
  async asFormerOwner(result: WithoutClient<PublishResult>): Promise<OutboundStep> {
    const results = [{ ...result, clientId: CLIENT }];
    return this.owning(() => this.work.step(FORMER, { readTo: undefined, room: 1, results }));
  }

  /** A step of an owner that has the lease during the step only. */
  async step(state: Partial<OutboundState>, shard = SHARD): Promise<OutboundStep> {
    return this.owning((grant) => this.work.step(grant, { readTo: undefined, room: 0, results: [], ...state }), shard);
  }

  /** Has the lease of the outbound side while `act` runs. */
  async owning<Result>(act: (grant: Grant) => Promise<Result>, shard = SHARD): Promise<Result> {
    const grant = { ...OUTBOUND, index: shard };
    await this.redis.set(this.keys.owner(grant), grant.fence);
    try {
      return await act(grant);
    } finally {
      await this.redis.del(this.keys.owner(grant));
    }
  }

  /** Ids of the client's unfinished messages. */
  async outbox(): Promise<string[]> {
    return this.redis.lrange(this.keys.outbox(SHARD, CLIENT), 0, -1);
  }

  async statuses(id: string): Promise<string[] | undefined> {
    return (await this.messages.read(id))?.history.map(({ status }) => status);
  }

  /** The statuses of a message that events have reported, in order. */
  async eventsOf(id: string): Promise<string[]> {
    const entries = await this.redis.xrange(this.keys.events(SHARD), '-', '+');
    const events = entries
      .flatMap(([entry, fields]) => eventsOfEntry(entry, 0, fields))
      .map(({ text }) => JSON.parse(text) as { message_id?: string; status?: string });
    return events.flatMap(({ message_id, status }) => (message_id === id && status !== undefined ? [status] : []));
  }

  /** Redis' clock, epoch milliseconds. */
  async now(): Promise<number> {
    const [seconds, micros] = await this.redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  }

  /** As if the time to live of the message had ended. */
  async endTimeToLive(id: string): Promise<void> {
    await changeStoredMessage(this.redis, this.keys.message(SHARD, id), { ttl: '0' });
    await this.redis.zadd(this.keys.expiry(SHARD), 1000, id);
  }

  /** The ids of the finished messages, by list. */
  async finishedLists(): Promise<Map<string, string[]>> {
    const lists = await this.redis.zrange(this.keys.finishedDue(SHARD), '0', '-1');
    const ids = await Promise.all(lists.map((list) => this.redis.lrange(this.keys.finishedOf(SHARD, list), 0, -1)));
    return new Map(lists.map((list, i) => [list, ids[i] ?? []]));
  }

  /** As if finished messages had been kept for some more time; their order in the lists stays. */
  async endRetention(...ids: string[]): Promise<void> {
    for (const id of ids) {
      const key = this.keys.message(SHARD, id);
      const { status } = await storedMessage(this.redis, key);
      await changeStoredMessage(this.redis, key, { created: '1', ...(status === 'replayed' && { kept: '0' }) });
    }
    for (const [list, [first = '']] of await this.finishedLists())
      if (ids.includes(first)) await this.redis.zadd(this.keys.finishedDue(SHARD), 1, list);
  }

  async untilExpiry(id: string): Promise<void> {
    const expiresAt = (await this.messages.read(id))?.expiresAt ?? Infinity;
    await eventually('the time to live of the message has ended', async () =>
      expect(await this.now()).toBeGreaterThan(expiresAt),
    );
  }

  /** Milliseconds until the client is ready. */
  async readyInMs(clientId = CLIENT): Promise<number> {
    const score = await this.redis.zscore(this.keys.ready(SHARD), clientId);
    if (score === null) throw new Error(`${clientId} is not ready, and will not be`);
    return Number(score) / 1000 - (await this.now());
  }
}

export function claimed(step: Served): ClaimedMessage {
  if (step.kind !== 'claimed') throw new Error(`no message was claimed: ${step.kind}`);
  return step.message;
}

/** A client of the same shard, whose id begins with a prefix. */
export function neighbour(prefix: string): string {
  for (let i = 0; ; i++) if (shardOf(`${prefix}-${i}`, SHARDS) === SHARD) return `${prefix}-${i}`;
}

function servedOf({ claimed: [message, ...ahead], left }: OutboundStep): Served {
  if (message !== undefined) return { kind: 'claimed', message, ahead };
  for (const reason of ['waiting', 'offline', 'interrupted'] as const) if (left[reason] > 0) return { kind: reason };
  return { kind: 'empty' };
}
