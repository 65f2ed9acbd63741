/**
 * One connection of a key space of its own, and what serves it: gateways, dispatchers and an owner's housekeeping, made
 * of the real parts on a real Redis and broker. Each of them reaches both through proxies of its own, and can be made to
 * crash at a point between two steps: from that moment nothing that it does reaches anybody.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { Publisher } from '@app/broker';
import { Draining, RedisConnections, closeRedis, connectRedis, isCluster, type Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import { DueTodos, Messages, Outboxes, RegistryKeys, WakeUps, type NewMessage } from '@app/registry';
import type { Grant } from '@app/sharding';
import { ANONYMOUS } from '../../../apps/api-gateway/src/access/caller.js';
import { MessageSender, type SendOutcome } from '../../../apps/api-gateway/src/messages/message-sender.js';
import { DispatcherLifecycle } from '../../../apps/dispatcher/src/dispatcher.lifecycle.js';
import { Dispatcher } from '../../../apps/dispatcher/src/outbound/dispatcher.js';
import { Semaphore } from '../../../apps/dispatcher/src/outbound/semaphore.js';
import { Proxy as Network } from '../../support/proxy.js';
import { gate, quiet, type Server } from '../../support/servers.js';

export const CLIENT = 'device';
const OUT = new TopicTemplate('out/{clientId}');
/** Neither Redis nor the payer is full. */
const NO_BUDGET = { chargeOf: (payer: string) => ({ payer }) };
const LIMITS = { shardCount: 1, outboxLimit: 1000, shardLimit: 1000, retentionMs: 3_600_000 };
const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:stage' };

/**
 * Where something crashes: before or after the n-th call of a method of one of its ports. Or, with `twice`, that call is
 * carried out, its reply is lost, and it is carried out again.
 */
export interface CrashPoint {
  port: 'messages' | 'wakeUps' | 'outboxes' | 'publisher' | 'due';
  method: string;
  when: 'before' | 'after' | 'twice';
  call: number;
}

/** A process that may crash: what it does from then on reaches nobody, until it is found to have been frozen only. */
export class Victim {
  readonly crashed = gate();
  private readonly thawed = gate();
  private isCrashed = false;
  private isThawed = false;
  private calls = 0;

  constructor(
    private readonly networks: Network[],
    private readonly point: CrashPoint | undefined,
  ) {}

  /** The port itself, which crashes this process at its point. */
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
          const isIt = ++this.calls === point.call;
          if (isIt && point.when === 'before') await this.crash();
          if (isIt && point.when === 'twice') {
            await Reflect.apply(value, target, args);
            this.crashed.open();
          }
          const result: unknown = await Reflect.apply(value, target, args);
          if (isIt && point.when === 'after') await this.crash();
          return result;
        };
      },
    });
  }

  /** It was frozen, and goes on where it stood. */
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
    /** Sees through everything, from outside. */
    readonly redis: Redis,
  ) {
    this.keys = new RegistryKeys(name);
  }

  get messages(): Messages {
    return new Messages(this.redis, this.keys, LIMITS);
  }

  /** The client is online and listens on its topic, which is the stage's own. */
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
      .zadd(this.keys.index(0, 'online', 'host'), 0, CLIENT)
      .exec();
  }

  async close(): Promise<void> {
    for (const stop of this.stops.toReversed()) await stop();
    await this.device?.endAsync();
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
    return { victim, send: (wanted) => sender.send(wanted, ANONYMOUS) };
  }

  async dispatcher(point?: CrashPoint): Promise<Victim> {
    const { victim, redisUrl, brokerUrl } = await this.networks(point);
    const redis = connectRedis(redisUrl, { name: 'dispatcher', whenAway: 'wait' }, quiet);
    const workerRedis = connectRedis(redisUrl, { name: 'worker', whenAway: 'wait' }, quiet);
    let open = true;
    // A connection that a worker leaves behind, a copy of this one, must not outlive the stage.
    if (!isCluster(workerRedis)) workerRedis.options.retryStrategy = () => (open ? 50 : null);
    const publisher = new Publisher({ url: brokerUrl }, `${this.keys.prefix}-${Math.random()}`, quiet);
    const outboxes = victim.guard('outboxes', new Outboxes(redis, this.keys, 1));
    const draining = {
      outboxes,
      publisher: victim.guard('publisher', publisher),
      outTopic: this.outTopic,
      semaphore: new Semaphore(5),
      logger: quiet,
    };
    const wakeUps = new WakeUps(redis, this.keys);
    const dispatcher = new Dispatcher(workerRedis, this.keys, draining, wakeUps, 1, quiet);
    const lifecycle = new DispatcherLifecycle(
      new RedisConnections([redis, workerRedis]),
      redis,
      this.keys,
      wakeUps,
      publisher,
      dispatcher,
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
      // A worker that was left behind goes on renewing locks; the process of a real dispatcher ends.
      await (Reflect.get(dispatcher, 'worker') as { lockManager: { close(): Promise<void> } }).lockManager.close();
    });
    return victim;
  }

  /** What the shard's owner does for messages: wakes, expires, and hears of errors. One after the other, as it would. */
  async owner(point?: CrashPoint): Promise<Victim> {
    const { victim, redisUrl } = await this.networks(point);
    const redis = connectRedis(redisUrl, { name: 'owner', whenAway: 'wait' }, quiet);
    const due = victim.guard('due', new DueTodos(redis, this.keys));
    const outboxes = victim.guard('outboxes', new Outboxes(redis, this.keys, 1));
    const wakeUps = new WakeUps(redis, this.keys);
    const guarded = victim.guard('wakeUps', wakeUps);
    let going = true;
    const keep = async (): Promise<void> => {
      while (going) {
        const { todos } = await due.claim(GRANT);
        for (const dueToDo of todos) {
          const { todo } = dueToDo;
          if (todo.do === 'wake') await guarded.wake([0]);
          if (todo.do !== 'message-error') continue;
          await outboxes.failByClient(todo.client_id, todo.in_response_to, todo.details);
          await due.done(GRANT, [dueToDo]);
        }
        await sleep(100);
      }
    };
    const kept = keep();
    this.stops.push(async () => {
      going = false;
      victim.thaw();
      await kept;
      await wakeUps.close();
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
