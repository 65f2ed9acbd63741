import { once } from 'node:events';
import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { register } from 'prom-client';
import { TopicTemplate, shardOf } from '@app/protocol';
import { Publisher, RetainedReader } from '@app/broker';
import type { Redis } from '@app/platform';
import {
  ConnectionDirectory,
  DueTodos,
  Messages,
  Outboxes,
  Refusals,
  RegistryKeys,
  WakeUps,
  connectionWrites,
  decodeMailboxEntry,
  encodeConnection,
  encodeToDo,
  type MailboxMessage,
  type Refused,
  type ToDo,
} from '@app/registry';
import { FencedCommit, Mailboxes, type Grant } from '@app/sharding';
import { hostConnection } from '../../../../test/support/connections.js';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, freePort, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { Verifier } from '../reconciliation/verifier.js';
import { ToDoRunner } from './todo-runner.js';
import { toDoKinds, type ToDoKinds } from './todo-catalogue.js';

const SHARDS = 4;
const CLIENT = 'host-1';
const SHARD: Grant = { kind: 'shard', index: shardOf(CLIENT, SHARDS), epoch: 1, fence: '1:boot' };
const OLD = 'old/{clientId}/status';
const NEW = 'new/{clientId}/status';
const CLEAR: ToDo = { do: 'clear-retained', client_id: CLIENT, status_topic: OLD };
const FORGET: ToDo = { do: 'forget', client_id: CLIENT };
const VERIFY: ToDo = { do: 'verify', client_id: CLIENT };
const REFUSE: ToDo = { do: 'refuse', client_id: CLIENT };
const ERROR: ToDo = { do: 'message-error', client_id: CLIENT, in_response_to: 'sent-1', details: 'no disk' };

let redis: Redis;
let broker: Server;
let subscriber: MqttClient;
let received: { topic: string; text: string; packet: IPublishPacket }[];
let keys: RegistryKeys;
let due: DueTodos;
let publisher: Publisher;
let wakeUps: WakeUps;
let verifier: Verifier;
let effects: ToDoRunner;
let kinds: ToDoKinds;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeAll(async () => {
  broker = await startMosquitto();
});

afterAll(() => broker.stop());

beforeEach(async () => {
  register.resetMetrics();
  keys = new RegistryKeys(`effects${keySpaces++}`);
  await redis.set(keys.owner(SHARD), SHARD.fence);
  received = [];
  subscriber = await connectAsync(broker.url, { protocolVersion: 5 });
  subscriber.on('message', (topic, payload, packet) => received.push({ topic, text: payload.toString(), packet }));
  await subscriber.subscribeAsync(['out/+', 'old/+/status'], { qos: 1 });
  effects = assemble(broker.url);
});

afterEach(async () => {
  await effects.stop();
  await verifier.stop();
  await Promise.all([publisher.close(), wakeUps.close(), subscriber.endAsync(true)]);
});

/** The real parts, as the ingester wires them. */
function assemble(url: string): ToDoRunner {
  due = new DueTodos(redis, keys);
  publisher = new Publisher({ url }, `effects-${keySpaces}`, quiet);
  wakeUps = new WakeUps(redis, keys);
  const mailboxes = new Mailboxes(redis, keys, 1000);
  verifier = new Verifier({
    reader: new RetainedReader({ url }, `reader-${keySpaces}`, 'sentinel', quiet),
    barrier: { pass: () => Promise.resolve() },
    mailboxes,
    directory: new ConnectionDirectory(redis, keys, SHARDS),
    redis,
    statusTopics: [new TopicTemplate(NEW)],
    maxInboundBytes: 1024,
    rate: 100,
    logger: quiet,
  });
  kinds = toDoKinds({
    verifier,
    accounts: undefined,
    refusals: new Refusals(redis, keys),
    wakeUps,
    outboxes: new Outboxes(redis, keys, SHARDS),
    directory: new ConnectionDirectory(redis, keys, SHARDS),
    mailboxes,
    publisher,
    outTopic: new TopicTemplate('out/{clientId}'),
    logger: quiet,
  });
  return new ToDoRunner(kinds, due, quiet);
}

async function write(...todos: ToDo[]): Promise<void> {
  await redis.zadd(keys.todo(SHARD.index), ...todos.flatMap((todo) => [1, encodeToDo(todo)]));
}

/** As the commit of a refused handshake does. */
async function refuse(inResponseTo: string | null, details = 'why'): Promise<void> {
  const refused: Refused = { clientId: CLIENT, inResponseTo, details, messageId: `answer to ${inResponseTo}` };
  const none = { connections: new Map(), events: [], deadLetters: [], undone: [], cameOnline: [], swept: [] };
  const todos = [{ todo: REFUSE, due: 1 }];
  const writes = connectionWrites(keys, SHARD.index, { ...none, todos, refused: [refused] });
  await new FencedCommit(redis, keys).commit(SHARD, '0-0', '0-0', writes);
}

/** Has everything done that is due, as housekeeping does. */
async function takeUp(): Promise<void> {
  const { todos } = await due.claim(SHARD);
  effects.resume(SHARD, todos);
}

async function left(): Promise<unknown[]> {
  const texts = await redis.zrange(keys.todo(SHARD.index), '0', '-1');
  return texts.map((text) => JSON.parse(text) as unknown);
}

async function untilLeft(...todos: ToDo[]): Promise<void> {
  await eventually(async () => expect(new Set(await left())).toEqual(new Set(todos)));
}

async function mailbox(): Promise<MailboxMessage[]> {
  const entries = await redis.xrange(keys.mailbox(SHARD.index), '-', '+');
  return entries.map(([id, [, text = '']]) => decodeMailboxEntry({ id, text }));
}

async function counted(): Promise<Record<string, number>> {
  const values = (await register.getSingleMetric('cloud_connector_todos_done_total')?.get())?.values ?? [];
  return Object.fromEntries(
    values.filter(({ value }) => value > 0).map(({ labels, value }): [string, number] => [String(labels.kind), value]),
  );
}

/** What clients were sent. */
function errors(): Record<string, unknown>[] {
  const sent = received.filter(({ topic }) => topic.startsWith('out/'));
  return sent.map(({ text }) => JSON.parse(text) as Record<string, unknown>);
}

function answers(): unknown[] {
  return errors().map(({ in_response_to }) => in_response_to);
}

/** As if the last answer to the client had been so long ago. */
async function passed(ms: number): Promise<void> {
  const [, answered] = keys.refusals(SHARD.index);
  const record = (await redis.hget(answered, CLIENT)) ?? '';
  const [last, unreadable, ids] = record.split(';');
  await redis.hset(answered, CLIENT, `${Number(last) - ms};${Math.max(0, Number(unreadable) - ms)};${ids}`);
  const score = Number(await redis.zscore(keys.todo(SHARD.index), encodeToDo(REFUSE)));
  if (score > 0) await redis.zadd(keys.todo(SHARD.index), score - ms, encodeToDo(REFUSE));
}

describe('clear-retained', () => {
  beforeEach(async () => {
    await subscriber.publishAsync('old/host-1/status', 'a handshake', { qos: 1, retain: true });
    await eventually(() => expect(received.at(-1)).toMatchObject({ text: 'a handshake' }));
  });

  afterEach(() => subscriber.publishAsync('old/host-1/status', '', { qos: 1, retain: true }));

  it.each([
    ['moved to another topic', hostConnection(CLIENT, { status_topic: NEW })],
    ['was forgotten', undefined],
  ])(
    'clear-retained removes the retained message that a client left on its old topic when it %s',
    async (_, present) => {
      if (present !== undefined) await redis.hset(keys.connections(SHARD.index), CLIENT, encodeConnection(present));
      await write(CLEAR);
      await takeUp();
      await untilLeft();
      await eventually(() => expect(received.at(-1)).toMatchObject({ topic: 'old/host-1/status', text: '' }));
    },
  );

  it('clear-retained does not remove the handshake of a client that has moved back', async () => {
    const back = hostConnection(CLIENT, { status_topic: OLD });
    await redis.hset(keys.connections(SHARD.index), CLIENT, encodeConnection(back));
    await write(CLEAR);
    await takeUp();
    await untilLeft();
    expect(received.at(-1)).toMatchObject({ text: 'a handshake' });
  });
});

describe('to-dos that are commands in the mailbox', () => {
  it.each<[ToDo, unknown, ToDo[]]>([
    [FORGET, { do: 'forget', overdue: true }, [FORGET]],
    [{ do: 'flush', client_id: CLIENT }, { do: 'flush' }, [{ do: 'flush', client_id: CLIENT }]],
    [{ do: 'confirm', client_id: CLIENT }, { do: 'verify', reason: 'goodbye' }, []],
    [{ do: 'confirm', client_id: CLIENT, after: 'throttled' }, { do: 'verify', reason: 'throttled' }, []],
  ])('the to-do %j becomes a command in the mailbox', async (todo, command, stays) => {
    await write(todo);
    await takeUp();
    await untilLeft(...stays);
    await eventually(async () => expect(await mailbox()).toMatchObject([{ clientId: CLIENT, command }]));
  });
});

it('a verify to-do starts a verification of the client, and stays until the result is applied', async () => {
  await write(VERIFY);
  await takeUp();
  expect(verifier.pendingOf(SHARD).has(CLIENT)).toBe(true);
  expect(await left()).toEqual([VERIFY]);
});

it('a wake to-do wakes a dispatcher, and stays until the shard is drained', async () => {
  await write({ do: 'wake' });
  await takeUp();
  await eventually(async () => expect(await counted()).toEqual({ wake: 1 }));
  expect(await left()).toEqual([{ do: 'wake' }]);
});

it('a message-error fails the message of that client', async () => {
  const messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 10,
    shardLimit: 10,
    retentionMs: 3_600_000,
  });
  const id = messages.mint(CLIENT);
  await redis.hset(keys.message(SHARD.index, id), { status: 'sent', history: 'sent 1', client_id: CLIENT, keep: 1 });
  await write({ ...ERROR, in_response_to: id });
  await takeUp();
  await untilLeft();
  expect(await redis.hget(keys.message(SHARD.index, id), 'status')).toBe('failed');
});

it('message-errors that match no message become events up to the share of the client, and are only counted past it', async () => {
  await write(...Array.from({ length: 60 }, (_, i): ToDo => ({ ...ERROR, in_response_to: `none-${i}` })));
  await takeUp();
  await untilLeft();
  expect(await redis.xlen(keys.refusalEvents(SHARD.index))).toBe(20);
  await eventually(async () => expect(await counted()).toEqual({ 'message-error': 60 }));
});

describe('a refused handshake', () => {
  it('a refused handshake is answered at once, and each further one a second after the last answer; only the newest waits', async () => {
    await refuse('a');
    await takeUp();
    await eventually(() => expect(answers()).toEqual(['a']));
    for (const id of ['b', 'c', 'd']) {
      await refuse(id);
      await takeUp();
    }
    await untilLeft(REFUSE);
    const wait = Number(await redis.zscore(keys.todo(SHARD.index), encodeToDo(REFUSE)));
    const [, answered] = keys.refusals(SHARD.index);
    const last = Number((await redis.hget(answered, CLIENT))?.split(';')[0]);
    expect([last + 1000, last + 10_000.5]).toContain(wait);
    expect(answers()).toEqual(['a']);
    await passed(10_000);
    await takeUp();
    await untilLeft();
    expect(answers()).toEqual(['a', 'd']);
    expect(errors()).toMatchObject([
      { type: 'handshake-error', message_id: 'answer to a', payload: { details: 'why' } },
      { type: 'handshake-error', message_id: 'answer to d', payload: { details: 'why' } },
    ]);
  });

  it('a refused handshake is not answered again while its id is one of the last eight that were answered', async () => {
    for (let i = 0; i < 9; i++) {
      await refuse(`h-${i}`);
      await takeUp();
      await untilLeft();
      await passed(2000);
    }
    expect(errors()).toHaveLength(9);
    for (const known of ['h-8', 'h-1']) {
      await refuse(known);
      await takeUp();
      await untilLeft();
    }
    expect(errors()).toHaveLength(9);
    await refuse('h-0');
    await takeUp();
    await untilLeft();
    expect(answers().at(-1)).toBe('h-0');
  });

  it('a refused handshake without a readable id is answered once a minute, and does not delay one with an id', async () => {
    await refuse(null);
    await takeUp();
    await untilLeft();
    await refuse(null, 'newer');
    await refuse('readable');
    await passed(2000);
    await takeUp();
    await eventually(() => expect(answers()).toEqual([null, 'readable']));
    await untilLeft(REFUSE);
    await passed(59_000);
    await takeUp();
    await untilLeft();
    expect(answers()).toEqual([null, 'readable', null]);
    expect(received.at(-1)?.text).toContain('newer');
  });

  it('a refused handshake whose answer reached no client does not count as answered', async () => {
    await subscriber.unsubscribeAsync('out/+');
    await refuse('a');
    await takeUp();
    await untilLeft();
    await subscriber.subscribeAsync('out/+', { qos: 1 });
    await refuse('a');
    await passed(2000);
    await takeUp();
    await untilLeft();
    expect(answers()).toEqual(['a']);
  });

  it('refused handshakes are remembered for no more than 10,000 clients of the shard', async () => {
    const [, answered, recent] = keys.refusals(SHARD.index);
    const clients = Array.from({ length: 10_001 }, (_, i) => `c${i}`);
    await redis.hset(answered, Object.fromEntries(clients.map((id) => [id, '1;0;x'])));
    await redis.zadd(recent, ...clients.flatMap((id, i) => [i, id]));
    await refuse('a');
    await takeUp();
    await untilLeft();
    expect(await redis.zcard(recent)).toBe(10_000);
    expect(await redis.hlen(answered)).toBe(10_000);
    expect(await redis.hexists(answered, CLIENT)).toBe(1);
    expect(await redis.hexists(answered, 'c0')).toBe(0);
  });
});

describe('with the broker away', () => {
  const REPLY: ToDo = {
    do: 'reply',
    client_id: CLIENT,
    message_id: 'x',
    reply: { type: 'force-disconnect', payload: { reconnect_after: 'never' } },
  };
  let port: number;

  beforeEach(async () => {
    await publisher.close();
    await wakeUps.close();
    await verifier.stop();
    port = await freePort();
    effects = assemble(`mqtt://127.0.0.1:${port}`);
  });

  it('a to-do that comes up again and again while it waits is published once', async () => {
    await write(REPLY);
    for (let i = 0; i < 20; i++) {
      await redis.zadd(keys.todo(SHARD.index), 1, encodeToDo(REPLY));
      await takeUp();
    }
    const late = await startMosquitto({ port });
    const listener = await connectAsync(late.url, { protocolVersion: 5 });
    const payloads: string[] = [];
    listener.on('message', (_, payload) => payloads.push(payload.toString()));
    await listener.subscribeAsync('out/#', { qos: 1 });
    await eventually(async () => {
      await eventually(async () => expect(await counted()).toEqual({ reply: 1 }));
      expect(await left()).toEqual([]);
    });
    await listener.publishAsync('out/end', 'end', { qos: 1 });
    await eventually(() => expect(payloads).toContain('end'));
    await listener.endAsync(true);
    await late.stop();
    // Nobody may have been subscribed yet; more than one copy there never is.
    expect(payloads.length).toBeLessThanOrEqual(2);
  });

  it('the removal of a retained message does not wait, since the client may move back', async () => {
    await write(CLEAR);
    await takeUp();
    const back = hostConnection(CLIENT, { status_topic: OLD });
    await redis.hset(keys.connections(SHARD.index), CLIENT, encodeConnection(back));
    // Nothing is left to be published when the broker is back.
    await eventually(async () => {
      await redis.zadd(keys.todo(SHARD.index), 'XX', 1, encodeToDo(CLEAR));
      await takeUp();
      expect(await left()).toEqual([]);
    });
  });

  it('publishes that wait leave room for all other to-dos', async () => {
    const waiting = Array.from({ length: 3000 }, (_, i): ToDo => ({ ...REPLY, message_id: `x-${i}` }));
    effects.begin(
      SHARD,
      waiting.map((todo) => ({ todo, due: 1 })),
    );
    await write(ERROR, FORGET);
    await takeUp();
    await untilLeft(FORGET);
    await eventually(async () => expect(await mailbox()).toHaveLength(1));
  });
});

it('a to-do that a commit writes while it runs is run once more', async () => {
  await redis.del(keys.owner(SHARD));
  await redis.set(keys.owner(SHARD), SHARD.fence);
  await refuse('a');
  effects.begin(SHARD, [{ todo: REFUSE, due: 1 }]);
  await refuse('b');
  effects.begin(SHARD, [{ todo: REFUSE, due: 1 }]);
  // Its turn comes a second later, by the to-do that the second run has put off.
  await eventually(async () => {
    const score = Number(await redis.zscore(keys.todo(SHARD.index), encodeToDo(REFUSE)));
    expect(score === 0 || score > 1).toBe(true);
  });
  await passed(2000);
  await takeUp();
  await untilLeft();
  expect(answers().at(-1)).toBe('b');
});

it('a to-do that was published is not published again before its outcome is known, however long that takes', async () => {
  const contrary = await ContraryBroker.before(broker.port);
  await publisher.close();
  await wakeUps.close();
  await verifier.stop();
  effects = assemble(contrary.url);
  await eventually(() => expect(publisher.connected).toBe(true));
  contrary.withholdPubacks();
  await refuse('a');
  effects.begin(SHARD, [{ todo: REFUSE, due: 1 }]);
  await eventually(() => expect(contrary.withheld).toBe(1));
  // As the end of its time does.
  effects.withdraw(SHARD, [REFUSE]);
  for (let i = 0; i < 5; i++) {
    await redis.zadd(keys.todo(SHARD.index), 'XX', 1, encodeToDo(REFUSE));
    await takeUp();
    // What would be published again would come before this.
    await subscriber.publishAsync(`out/end-${i}`, '{}', { qos: 1 });
    await eventually(() => expect(received.map(({ topic }) => topic)).toContain(`out/end-${i}`));
  }
  expect(contrary.withheld).toBe(1);
  await contrary.stop();
  await eventually(() => expect(publisher.connected).toBe(false));
});

it('a running to-do is stopped when a commit has removed it', async () => {
  let signalled: AbortSignal | undefined;
  const gate: ToDoKinds['clear-retained'] = {
    most: 1,
    timeoutMs: 3_600_000,
    removedBy: 'runner',
    run: async (_todo, { signal }) => {
      signalled = signal;
      await once(signal, 'abort');
      return 'later';
    },
  };
  const gated = new ToDoRunner({ ...kinds, 'clear-retained': gate }, due, quiet);
  const running = { todo: CLEAR, due: 1 };
  gated.begin(SHARD, [running]);
  gated.begin(SHARD, [running]);
  expect(signalled?.aborted).toBe(false);
  gated.withdraw(SHARD, [FORGET]);
  expect(signalled?.aborted).toBe(false);
  gated.withdraw(SHARD, [CLEAR]);
  expect(signalled?.aborted).toBe(true);
  await gated.stop();
});

it('to-dos that fail stay, and do not prevent others from running', async () => {
  const broken: ToDo = { do: 'clear-retained', client_id: CLIENT, status_topic: 'no placeholder' };
  await write(broken, ERROR, { do: 'reply', client_id: CLIENT, message_id: 'x', reply: REFUSED });
  await takeUp();
  await untilLeft(broken);
  await eventually(async () => expect(await counted()).toEqual({ 'message-error': 1, reply: 1 }));
});

const REFUSED = { type: 'handshake-response', in_response_to: 'm' } as const;
