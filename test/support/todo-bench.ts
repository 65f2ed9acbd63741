import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { register } from 'prom-client';
import { TopicTemplate, shardOf } from '@app/protocol';
import { Publisher, RetainedReader } from '@app/broker';
import type { Redis } from '@app/platform';
import {
  ConnectionDirectory,
  DueTodos,
  FencedCommit,
  Outboxes,
  Refusals,
  RegistryKeys,
  WakeUps,
  ringOutboundOf,
  connectionWrites,
  decodeMailboxEntry,
  encodeToDo,
  type MailboxMessage,
  type Refused,
  type ToDo,
} from '@app/registry';
import { Mailboxes, type Grant } from '@app/sharding';
import { batchOf } from './connections.js';
import { withRedis } from './redis.js';
import { eventually, quiet, startMosquitto, type Server } from './servers.js';
import { Verifier } from '../../apps/status-ingester/src/reconciliation/verifier.js';
import { ToDoRunner } from '../../apps/status-ingester/src/shard/todo-runner.js';
import { toDoKinds, type ToDoKinds } from '../../apps/status-ingester/src/shard/todo-catalogue.js';

export const SHARDS = 4;
export const CLIENT = 'host-1';
export const SHARD: Grant = { kind: 'shard', index: shardOf(CLIENT, SHARDS), epoch: 1, fence: '1:boot' };
export const OLD = 'old/{clientId}/status';
export const NEW = 'new/{clientId}/status';
export const CLEAR: ToDo = { do: 'clear-retained', client_id: CLIENT, status_topic: OLD };
export const FORGET: ToDo = { do: 'forget', client_id: CLIENT };
export const VERIFY: ToDo = { do: 'verify', client_id: CLIENT };
export const REFUSE: ToDo = { do: 'refuse', client_id: CLIENT };
export const ERROR = {
  do: 'message-error',
  client_id: CLIENT,
  in_response_to: 'sent-1',
  details: 'no disk',
} satisfies ToDo;

/** A shard with its to-dos, a broker with a subscriber, and the real code between them. */
export class ToDoBench {
  redis!: Redis;
  broker!: Server;
  subscriber!: MqttClient;
  received: { topic: string; text: string; packet: IPublishPacket }[] = [];
  keys!: RegistryKeys;
  due!: DueTodos;
  publisher!: Publisher;
  wakeUps!: WakeUps;
  verifier!: Verifier;
  effects!: ToDoRunner;
  kinds!: ToDoKinds;
  private keySpaces = 0;

  /** Registers the hooks of the spec file. */
  constructor() {
    withRedis((connection) => (this.redis = connection));

    beforeAll(async () => {
      this.broker = await startMosquitto();
    });

    afterAll(() => this.broker.stop());

    beforeEach(() => this.start());
    afterEach(() => this.stop());
  }

  /** Connects to another broker. */
  async moveTo(url: string): Promise<void> {
    await this.publisher.close();
    await this.wakeUps.close();
    await this.verifier.stop();
    this.effects = this.wire(url);
  }

  private async start(): Promise<void> {
    register.resetMetrics();
    this.keys = new RegistryKeys(`effects${this.keySpaces++}`);
    await this.redis.set(this.keys.owner(SHARD), SHARD.fence);
    this.received = [];
    this.subscriber = await connectAsync(this.broker.url, { protocolVersion: 5 });
    this.subscriber.on('message', (topic, payload, packet) =>
      this.received.push({ topic, text: payload.toString(), packet }),
    );
    await this.subscriber.subscribeAsync(['out/+', 'old/+/status'], { qos: 1 });
    this.effects = this.wire(this.broker.url);
  }

  private async stop(): Promise<void> {
    await this.effects.stop();
    await this.verifier.stop();
    await Promise.all([this.publisher.close(), this.wakeUps.close(), this.subscriber.endAsync(true)]);
  }

  /** Wires the classes in the same way as the ingester does. */
  private wire(url: string): ToDoRunner {
    this.due = new DueTodos(this.redis, this.keys);
    this.publisher = new Publisher({ url }, `effects-${this.keySpaces}`, quiet);
    this.wakeUps = new WakeUps(this.redis, this.keys);
    const mailboxes = new Mailboxes(this.redis, this.keys, 1000);
    this.verifier = new Verifier({
      reader: new RetainedReader({ url }, `reader-${this.keySpaces}`, 'sentinel', quiet),
      barrier: { pass: () => Promise.resolve() },
      facts: { absenceProvable: true },
      mailboxes,
      redis: this.redis,
      statusTopics: [new TopicTemplate(NEW)],
      maxInboundBytes: 1024,
      rate: 100,
      logger: quiet,
    });
    this.kinds = toDoKinds({
      verifier: this.verifier,
      accounts: undefined,
      refusals: new Refusals(this.redis, this.keys),
      ringOutbound: (shard) => ringOutboundOf(this.redis, this.keys, shard, this.wakeUps),
      outboxes: new Outboxes(this.redis, this.keys, SHARDS),
      directory: new ConnectionDirectory(this.redis, this.keys, SHARDS),
      mailboxes,
      publisher: this.publisher,
      outTopic: new TopicTemplate('out/{clientId}'),
      logger: quiet,
    });
    return new ToDoRunner(this.kinds, this.due, quiet);
  }

  async write(...todos: ToDo[]): Promise<void> {
    await this.redis.zadd(this.keys.todo(SHARD.index), ...todos.flatMap((todo) => [1, encodeToDo(todo)]));
  }

  /** Stores a refusal as the commit of a refused handshake does. */
  async refuse(inResponseTo: string | null, details = 'why'): Promise<void> {
    const about = { reason: 'refused-until', retryAfter: 'PT20S' };
    const refused: Refused = {
      clientId: CLIENT,
      inResponseTo,
      details,
      ...about,
      messageId: `answer to ${inResponseTo}`,
    };
    const changes = batchOf({ todos: [{ todo: REFUSE, due: 1 }], refused: [refused] });
    const writes = connectionWrites(this.keys, SHARD.index, changes);
    await new FencedCommit(this.redis, this.keys).commit(SHARD, '0-0', '0-0', writes);
  }

  /** Runs the due to-dos as housekeeping does. */
  async takeUp(): Promise<void> {
    const { todos } = await this.due.claim(SHARD);
    this.effects.resume(SHARD, todos);
  }

  async left(): Promise<unknown[]> {
    const texts = await this.redis.zrange(this.keys.todo(SHARD.index), '0', '-1');
    return texts.map((text) => JSON.parse(text) as unknown);
  }

  async untilLeft(...todos: ToDo[]): Promise<void> {
    const names = todos.map((todo) => todo.do).join(', ') || 'none';
    await eventually(`the remaining to-dos are: ${names}`, async () =>
      expect(new Set(await this.left())).toEqual(new Set(todos)),
    );
  }

  async mailbox(): Promise<MailboxMessage[]> {
    const entries = await this.redis.xrange(this.keys.mailbox(SHARD.index), '-', '+');
    return entries.map(([id, [, text = '']]) => decodeMailboxEntry({ id, text }));
  }

  async counted(): Promise<Record<string, number>> {
    const values = (await register.getSingleMetric('cloud_connector_todos_done_total')?.get())?.values ?? [];
    return Object.fromEntries(
      values
        .filter(({ value }) => value > 0)
        .map(({ labels, value }): [string, number] => [String(labels.kind), value]),
    );
  }

  /** The messages on the topics of clients. */
  errors(): Record<string, unknown>[] {
    const sent = this.received.filter(({ topic }) => topic.startsWith('out/'));
    return sent.map(({ text }) => JSON.parse(text) as Record<string, unknown>);
  }

  answers(): unknown[] {
    return this.errors().map(({ in_response_to }) => in_response_to);
  }

  /** Simulates that this time has passed since the last answer to the client. */
  async passed(ms: number): Promise<void> {
    const [, answered] = this.keys.refusals(SHARD.index);
    const record = (await this.redis.hget(answered, CLIENT)) ?? '';
    const [last, unreadable, ids] = record.split(';');
    await this.redis.hset(answered, CLIENT, `${Number(last) - ms};${Math.max(0, Number(unreadable) - ms)};${ids}`);
    const score = Number(await this.redis.zscore(this.keys.todo(SHARD.index), encodeToDo(REFUSE)));
    if (score > 0) await this.redis.zadd(this.keys.todo(SHARD.index), score - ms, encodeToDo(REFUSE));
  }
}
