/**
 * A key space with one connection, and gateways, dispatchers and an owner's housekeeping that serve it, made of the real
 * classes on a real Redis and broker. Each of them reaches both through its own proxies, and can crash at a point between
 * two steps: from then on nothing that it does has an effect.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { Publisher } from '@app/broker';
import { Draining, RedisConnections, closeRedis, connectRedis, isCluster, type Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import {
  DueTodos,
  FencedCommit,
  Messages,
  KeySpaceOpening,
  OutboundWork,
  Outboxes,
  RegistryKeys,
  WakeUps,
  type NewMessage,
  type ReportOutcome,
} from '@app/registry';
import type { Grant } from '@app/sharding';
import { ANONYMOUS } from '../../../apps/api-gateway/src/access/caller.js';
import { MessageSender, type SendOutcome } from '../../../apps/api-gateway/src/messages/message-sender.js';
import { DispatcherLifecycle } from '../../../apps/dispatcher/src/dispatcher.lifecycle.js';
import { outboundOf } from '../../../apps/dispatcher/src/outbound/outbound.module.js';
import { reportAct } from '../../../libs/registry/src/messages/report-act.js';
import { openGate } from '../../support/open-gate.js';
import { Proxy as Network } from '../../support/proxy.js';
import { gate, quiet, type Server } from '../../support/servers.js';

export const CLIENT = 'device';
const OUT = new TopicTemplate('out/{clientId}');
/** No payer has a limit. */
const NO_BUDGET = { chargeOf: (payer: string) => ({ payer }) };
const LIMITS = { shardCount: 1, outboxLimit: 1000, shardLimit: 1000, retentionMs: 3_600_000 };
const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:stage' };

/**
 * Where a process crashes: before or after the n-th call of a method of one of its ports. With `twice`, the reply to that
 * call is lost, and the call is repeated.
 */
export interface CrashPoint {
  port: 'messages' | 'wakeUps' | 'outboxes' | 'work' | 'publisher' | 'due';
  method: string;
  when: 'before' | 'after' | 'twice';
  call: number;
}

/** A process that may crash: from then on nothing that it does has an effect, until `thaw`. */
export class Victim {
  readonly crashed = gate();
  private readonly thawed = gate();
  private isCrashed = false;
  private isReached = false;
  private isThawed = false;
  private calls = 0;

  constructor(
    private readonly networks: Network[],
    private readonly point: CrashPoint | undefined,
  ) {}

  /** Returns the port, or a proxy of it that crashes this process at its crash point. */
  guard<Port extends object>(name: CrashPoint['port'], port: Port): Port {
    const { point } = this;
    if (point?.port !== name) return port;
    if (typeof Reflect.get(port, point.method) !== 'function') throw new Error(`${name} has no method ${point.method}`);
    return new Proxy(port, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property);
        if (property !== point.method || typeof value !== 'function') {
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        }
        return async (...args: unknown[]): Promise<unknown> => {
          // A call that fails, as on a slow machine a call of Redis may, is no crash point: the next one is.
          const mayCrash = ++this.calls >= point.call;
          if (mayCrash && point.when === 'before' && this.isFirst()) await this.crash();
          if (mayCrash && point.when === 'twice' && !this.isReached) {
            await Reflect.apply(value, target, args);
            if (this.isFirst()) this.crashed.open();
          }
          const result: unknown = await Reflect.apply(value, target, args);
          if (mayCrash && point.when === 'after' && this.isFirst()) await this.crash();
          return result;
        };
      },
    });
  }

  /** Whether the crash point is reached now; it is reached once. */
  private isFirst(): boolean {
    const isFirst = !this.isReached;
    this.isReached = true;
    return isFirst;
  }

  /** It was only frozen: it resumes at its crash point. */
  thaw(): void {
    if (this.isThawed) return;
    this.isThawed = true;
    if (this.isCrashed) for (const network of this.networks) network.heal();
    this.thawed.open();
  }

  private async crash(): Promise<void> {
    if (this.isThawed) return;
    this.isCrashed = true;
    for (const network of this.networks) network.cut();
    this.crashed.open();
    await this.thawed.passed;
  }
}

export class Stage {
  readonly keys: RegistryKeys;
  /** Message ids as the device received them. */
  readonly received: string[] = [];
  private readonly stops: (() => Promise<unknown>)[] = [];
  private device: MqttClient | undefined;

  constructor(
    private readonly redisServer: Server,
    private readonly broker: Server,
    name: string,
    /** A connection of the test itself, without a proxy. */
    readonly redis: Redis,
  ) {
    this.keys = new RegistryKeys(name);
  }

  get messages(): Messages {
    return new Messages(this.redis, this.keys, LIMITS);
  }

  /** Connects the client: it is online, and subscribed to its topic. */
  async open(): Promise<void> {
    this.device = await connectAsync(this.broker.url, { protocolVersion: 5 });
    this.device.on('message', (_topic, data) => {
      this.received.push((JSON.parse(data.toString()) as { message_id: string }).message_id);
    });
    await this.device.subscribeAsync(this.outTopic.topicOf(CLIENT), { qos: 1 });
    await this.redis
      .multi()
      .set(this.keys.owner(GRANT), GRANT.fence)
      .hset(this.keys.connections(0), CLIENT, '{}')
      .zadd(this.keys.online(0, 'host'), 0, CLIENT)
      .exec();
  }

  async close(): Promise<void> {
    for (const stop of this.stops.toReversed()) await stop();
    await this.device?.endAsync();
  }

  /** The owner of the shard applies an answer of the client. */
  async answer(messageId: string): Promise<ReportOutcome | undefined> {
    const answer = { type: 'message-response', inResponseTo: messageId, messageId: `answer to ${messageId}` } as const;
    const report = { kind: 'answer', clientId: CLIENT, at: 1, answer, mayEmit: false } as const;
    const commits = new FencedCommit(this.redis, this.keys);
    const outcome = await commits.commit(GRANT, '0-0', '0-0', [reportAct(report, false)]);
    return outcome.kind === 'committed' ? outcome.reports[0] : undefined;
  }

  async gateway(
    point?: CrashPoint,
  ): Promise<{ victim: Victim; send: (messages: NewMessage[]) => Promise<SendOutcome[]> }> {
    const { victim, redisUrl } = await this.networks(point);
    const redis = connectRedis(redisUrl, { name: 'gateway', whenAway: 'fail' }, quiet);
    await new Promise((resolve) => redis.once('ready', resolve));
    const messages = victim.guard('messages', new Messages(redis, this.keys, LIMITS));
    const wakeUps = new WakeUps(redis, this.keys);
    const sender = new MessageSender(redis, messages, victim.guard('wakeUps', wakeUps), NO_BUDGET, quiet);
    this.stops.push(async () => {
      await wakeUps.close();
      redis.disconnect();
    });
    return { victim, send: async (messages) => (await sender.send(messages, ANONYMOUS)).outcomes };
  }

  async dispatcher(point?: CrashPoint): Promise<Victim> {
    const { victim, redisUrl, brokerUrl } = await this.networks(point);
    const [redis, workerRedis, claimsRedis] = (['main', 'worker', 'claims'] as const).map((name) =>
      connectRedis(redisUrl, { name, whenAway: 'wait' }, quiet),
    ) as [Redis, Redis, Redis];
    const leases = connectRedis(redisUrl, { name: 'leases', whenAway: 'fail' }, quiet);
    let open = true;
    // A worker copies this connection, and may not close the copy: it must not outlive the stage.
    if (!isCluster(workerRedis)) workerRedis.options.retryStrategy = () => (open ? 50 : null);
    const publisher = new Publisher({ url: brokerUrl }, `${this.keys.prefix}-${Math.random()}`, quiet);
    const wakeUps = new WakeUps(redis, this.keys);
    const outbound = outboundOf(
      { main: redis, worker: workerRedis, claims: claimsRedis, leases },
      this.keys,
      victim.guard('publisher', publisher),
      wakeUps,
      { OUT_TOPIC: this.outTopic, IN_TOPIC: this.outTopic, DISPATCH_CONCURRENCY: 5, SHARD_COUNT: 1 },
      quiet,
      victim.guard('work', new OutboundWork(redis, this.keys)),
    );
    const lifecycle = new DispatcherLifecycle(
      new RedisConnections([redis, workerRedis, claimsRedis, leases]),
      redis,
      this.keys,
      new KeySpaceOpening(),
      wakeUps,
      publisher,
      openGate,
      outbound,
      { SHARD_COUNT: 1 },
      new Draining(),
      quiet,
    );
    await lifecycle.start();
    this.stops.push(async () => {
      victim.thaw();
      await lifecycle.onModuleDestroy();
      await lifecycle.onApplicationShutdown();
      open = false;
    });
    return victim;
  }

  /** What the owner of the shard does for messages, one to-do after the other: expires messages, handles errors. */
  async owner(point?: CrashPoint): Promise<Victim> {
    const { victim, redisUrl } = await this.networks(point);
    const redis = connectRedis(redisUrl, { name: 'owner', whenAway: 'wait' }, quiet);
    const due = victim.guard('due', new DueTodos(redis, this.keys));
    const outboxes = victim.guard('outboxes', new Outboxes(redis, this.keys, 1));
    let isRunning = true;
    const run = async (): Promise<void> => {
      while (isRunning) {
        const { todos } = await due.claim(GRANT);
        for (const dueToDo of todos) {
          const { todo } = dueToDo;
          if (todo.do !== 'message-error') continue;
          await outboxes.failByClient(todo.client_id, todo.in_response_to, todo.details);
          await due.done(GRANT, [dueToDo]);
        }
        // The interval of the housekeeping.
        await sleep(100);
      }
    };
    const running = run();
    this.stops.push(async () => {
      isRunning = false;
      victim.thaw();
      await running;
      await closeRedis(redis);
    });
    return victim;
  }

  private get outTopic(): TopicTemplate {
    return new TopicTemplate(`${this.keys.prefix}/${OUT.template}`);
  }

  private async networks(
    point: CrashPoint | undefined,
  ): Promise<{ victim: Victim; redisUrl: string; brokerUrl: string }> {
    const [toRedis, toBroker] = await Promise.all([
      Network.before(this.redisServer.port),
      Network.before(this.broker.port),
    ]);
    this.stops.push(() => Promise.all([toRedis.stop(), toBroker.stop()]));
    return {
      victim: new Victim([toRedis, toBroker], point),
      redisUrl: `redis://127.0.0.1:${toRedis.port}`,
      brokerUrl: `mqtt://127.0.0.1:${toBroker.port}`,
    };
  }
}
