/** Outbound messages in Redis, which a spec accepts, claims and completes by hand with the real commands. */
import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import {
  Messages,
  Outboxes,
  RegistryKeys,
  WAKE_TODO,
  type AcceptOutcome,
  type AcceptedMessage,
  type ClaimedMessage,
  type ConnectionState,
  type ConnectionType,
  type DrainStep,
  type MessageLimits,
  type MintedMessage,
  type NewMessage,
  type Settlement,
} from '@app/registry';
import type { Grant } from '@app/sharding';
import { withRedis } from './redis.js';
import { eventually } from './servers.js';

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

/** The outcome of a drain step for one client. */
export type Drained =
  | { kind: 'claimed'; message: ClaimedMessage }
  | { kind: 'empty' | 'offline' | 'waiting' | 'interrupted' | 'superseded' | 'lost' };

type WithoutClient<One> = One extends unknown ? Omit<One, 'clientId'> : never;

let keySpaces = 0;

/** Registers hooks that start a Redis for the spec file, and give each test a bench in its own key space. */
export function withMessages(begin: (bench: MessageBench) => void, limits: Partial<MessageLimits> = {}): void {
  let redis: Redis;
  withRedis((connection) => (redis = connection));
  beforeEach(() => begin(new MessageBench(redis, limits)));
}

export class MessageBench {
  readonly keys = new RegistryKeys(`bench${keySpaces++}`);
  readonly messages: Messages;
  readonly outboxes: Outboxes;
  /** The run of the last drain step. */
  run: string | undefined;

  constructor(
    readonly redis: Redis,
    limits: Partial<MessageLimits> = {},
  ) {
    const all = { ...LIMITS, ...limits };
    this.messages = new Messages(redis, this.keys, all);
    this.outboxes = new Outboxes(redis, this.keys, all.shardCount);
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
    for (const one of ['online', 'offline'] as const) changes.zrem(keys.index(shard, one, type), clientId);
    if (state === undefined) changes.hdel(keys.connections(shard), clientId);
    else changes.hset(keys.connections(shard), clientId, '{}').zadd(keys.index(shard, state, type), 0, clientId);
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

  /** Starts a run, as a woken dispatcher does, or one that takes over from a dispatcher that died. */
  async drain(): Promise<Drained> {
    const { redis, keys } = this;
    if ((await redis.sismember(keys.draining(SHARD), CLIENT)) === 0) await redis.zadd(keys.woken(SHARD), 0, CLIENT);
    return this.step(undefined, []);
  }

  /** Drains, and expects a claimed message. */
  async claim(): Promise<ClaimedMessage> {
    return claimed(await this.drain());
  }

  /** Completes a publish in the run; in a new one if the reply to the last step was lost. */
  async complete(result: WithoutClient<Settlement>, run = this.run): Promise<Drained> {
    const settlement = { ...result, clientId: CLIENT };
    const drained = await this.step(run, [settlement]);
    return drained.kind === 'lost' ? this.step(undefined, [settlement]) : drained;
  }

  /** Ids of the client's unfinished messages. */
  async outbox(): Promise<string[]> {
    return this.redis.lrange(this.keys.outbox(SHARD, CLIENT), 0, -1);
  }

  async statuses(id: string): Promise<string[] | undefined> {
    return (await this.messages.read(id))?.history.map(({ status }) => status);
  }

  /** Redis' clock, epoch milliseconds. */
  async now(): Promise<number> {
    const [seconds, micros] = await this.redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  }

  /** As if the time to live of the message had ended. */
  async endTimeToLive(id: string): Promise<void> {
    await this.redis.hset(this.keys.message(SHARD, id), 'expires_at', 1000);
    await this.redis.zadd(this.keys.expiry(SHARD), 1000, id);
  }

  async untilExpiry(id: string): Promise<void> {
    const expiresAt = (await this.messages.read(id))?.expiresAt ?? Infinity;
    await eventually('the time to live of the message has ended', async () =>
      expect(await this.now()).toBeGreaterThan(expiresAt),
    );
  }

  /** Time until the to-do that wakes a dispatcher is due, milliseconds. */
  async wakeDueIn(): Promise<number> {
    const score = await this.redis.zscore(this.keys.todo(SHARD), WAKE_TODO);
    if (score === null) throw new Error('the shard has no to-do that wakes a dispatcher');
    return Number(score) - (await this.now());
  }

  private async step(run: string | undefined, settlements: Settlement[]): Promise<Drained> {
    const step = await this.outboxes.step(SHARD, { run, underWay: 0, room: 1, settlements });
    this.run = step.run;
    return drainedOf(step);
  }
}

export function claimed(step: Drained): ClaimedMessage {
  if (step.kind !== 'claimed') throw new Error(`no message was claimed: ${step.kind}`);
  return step.message;
}

/** A client of the same shard, whose id begins with a prefix. */
export function neighbour(prefix: string): string {
  for (let i = 0; ; i++) if (shardOf(`${prefix}-${i}`, SHARDS) === SHARD) return `${prefix}-${i}`;
}

function drainedOf({ kind, claimed: [message], ends }: DrainStep): Drained {
  if (message !== undefined) return { kind: 'claimed', message };
  if (kind === 'superseded' || kind === 'lost') return { kind };
  for (const end of ['waiting', 'offline', 'interrupted'] as const) if (ends[end] > 0) return { kind: end };
  return { kind: 'empty' };
}
