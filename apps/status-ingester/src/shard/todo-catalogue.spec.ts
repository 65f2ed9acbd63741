import { Messages, encodeConnection, encodeToDo, type ToDo } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import { eventually } from '../../../../test/support/servers.js';
import { storeMessage, storedMessage } from '../../../../test/support/stored-message.js';
import {
  CLEAR,
  CLIENT,
  ERROR,
  FORGET,
  NEW,
  OLD,
  REFUSE,
  SHARD,
  SHARDS,
  ToDoBench,
  VERIFY,
} from '../../../../test/support/todo-bench.js';

const bench = new ToDoBench();

describe('clear-retained', () => {
  beforeEach(async () => {
    await bench.subscriber.publishAsync('old/host-1/status', 'a handshake', { qos: 1, retain: true });
    await eventually('the retained handshake comes', () => {
      expect(bench.received.at(-1)).toMatchObject({ text: 'a handshake' });
    });
  });

  afterEach(() => bench.subscriber.publishAsync('old/host-1/status', '', { qos: 1, retain: true }));

  it.each([
    ['moved to another topic', hostConnection(CLIENT, { status_topic: NEW })],
    ['was forgotten', undefined],
  ])(
    'clear-retained removes the retained message that a client left on its old topic when it %s',
    async (_, present) => {
      if (present !== undefined)
        await bench.redis.hset(bench.keys.connections(SHARD.index), CLIENT, encodeConnection(present));
      await bench.write(CLEAR);
      await bench.takeUp();
      await bench.untilLeft();
      await eventually('the retained message is removed', () => {
        expect(bench.received.at(-1)).toMatchObject({ topic: 'old/host-1/status', text: '' });
      });
    },
  );

  it('clear-retained does not remove the handshake of a client that has moved back', async () => {
    const back = hostConnection(CLIENT, { status_topic: OLD });
    await bench.redis.hset(bench.keys.connections(SHARD.index), CLIENT, encodeConnection(back));
    await bench.write(CLEAR);
    await bench.takeUp();
    await bench.untilLeft();
    expect(bench.received.at(-1)).toMatchObject({ text: 'a handshake' });
  });
});

describe('to-dos that are commands in the mailbox', () => {
  it.each<[ToDo, unknown, ToDo[]]>([
    [FORGET, { do: 'forget', overdue: true }, [FORGET]],
    [{ do: 'flush', client_id: CLIENT }, { do: 'flush' }, [{ do: 'flush', client_id: CLIENT }]],
    [{ do: 'confirm', client_id: CLIENT }, { do: 'verify', reason: 'goodbye' }, []],
    [{ do: 'confirm', client_id: CLIENT, after: 'throttled' }, { do: 'verify', reason: 'throttled' }, []],
  ])('the to-do %j becomes a command in the mailbox', async (todo, command, stays) => {
    await bench.write(todo);
    await bench.takeUp();
    await bench.untilLeft(...stays);
    await eventually('the command is in the mailbox', async () => {
      expect(await bench.mailbox()).toMatchObject([{ clientId: CLIENT, command }]);
    });
  });
});

it('a verify to-do starts a verification of the client, and stays until the result is applied', async () => {
  await bench.write(VERIFY);
  await bench.takeUp();
  expect(bench.verifier.pendingOf(SHARD).has(CLIENT)).toBe(true);
  expect(await bench.left()).toEqual([VERIFY]);
});

describe('wake', () => {
  const OUTBOUND = { kind: 'outbound', index: SHARD.index } as const;

  it('wake activates the outbound side of a shard that nobody owns', async () => {
    await bench.write({ do: 'wake' });
    await bench.takeUp();
    await bench.untilLeft();
    const jobs = await bench.redis.keys(`${bench.keys.queuePrefix}:wake-ups:*`);
    expect(jobs.length).toBeGreaterThan(0);
    expect(await bench.redis.exists(bench.keys.claims(SHARD.index))).toBe(0);
    expect(await bench.counted()).toEqual({ wake: 1 });
  });

  it('wake rings for the dispatcher that owns the outbound side, and enqueues nothing', async () => {
    await bench.redis.set(bench.keys.owner(OUTBOUND), '1:dispatcher');
    await bench.write({ do: 'wake' });
    await bench.takeUp();
    await bench.untilLeft();
    expect(await bench.redis.xlen(bench.keys.claims(SHARD.index))).toBe(1);
    expect(await bench.redis.keys(`${bench.keys.queuePrefix}:wake-ups:*`)).toEqual([]);
  });
});

it('a message-error to-do fails the message that it is about', async () => {
  const messages = new Messages(bench.redis, bench.keys, {
    shardCount: SHARDS,
    outboxLimit: 10,
    shardLimit: 10,
    retentionMs: 3_600_000,
  });
  const id = messages.mint(CLIENT);
  await storeMessage(bench.redis, bench.keys.message(SHARD.index, id), {
    status: 'sent',
    history: 's0',
    client: CLIENT,
  });
  await bench.write({ ...ERROR, in_response_to: id });
  await bench.takeUp();
  await bench.untilLeft();
  expect(await storedMessage(bench.redis, bench.keys.message(SHARD.index, id))).toMatchObject({ status: 'failed' });
});

it('message-errors that match no message become events up to the limit of the client, and are only counted above it', async () => {
  await bench.write(...Array.from({ length: 60 }, (_, i): ToDo => ({ ...ERROR, in_response_to: `none-${i}` })));
  await bench.takeUp();
  await bench.untilLeft();
  expect(await bench.redis.xlen(bench.keys.refusalEvents(SHARD.index))).toBe(20);
  await eventually('all message-errors are counted', async () => {
    expect(await bench.counted()).toEqual({ 'message-error': 60 });
  });
});

describe('a refused handshake', () => {
  it('a refused handshake is answered at once, and each further one a second after the last answer; only the newest waits', async () => {
    await bench.refuse('a');
    await bench.takeUp();
    await eventually('the first handshake is answered', () => expect(bench.answers()).toEqual(['a']));
    for (const id of ['b', 'c', 'd']) {
      await bench.refuse(id);
      await bench.takeUp();
    }
    await bench.untilLeft(REFUSE);
    const wait = Number(await bench.redis.zscore(bench.keys.todo(SHARD.index), encodeToDo(REFUSE)));
    const [, answered] = bench.keys.refusals(SHARD.index);
    const last = Number((await bench.redis.hget(answered, CLIENT))?.split(';')[0]);
    expect([last + 1000, last + 10_000.5]).toContain(wait);
    expect(bench.answers()).toEqual(['a']);
    await bench.passed(10_000);
    await bench.takeUp();
    await bench.untilLeft();
    expect(bench.answers()).toEqual(['a', 'd']);
    const payload = { details: 'why', reason: 'refused-until', retry_after: 'PT20S' };
    expect(bench.errors()).toMatchObject([
      { type: 'handshake-error', message_id: 'answer to a', payload },
      { type: 'handshake-error', message_id: 'answer to d', payload },
    ]);
  });

  it('a refused handshake is not answered again while its id is one of the last eight that were answered', async () => {
    for (let i = 0; i < 9; i++) {
      await bench.refuse(`h-${i}`);
      await bench.takeUp();
      await bench.untilLeft();
      await bench.passed(2000);
    }
    expect(bench.errors()).toHaveLength(9);
    for (const known of ['h-8', 'h-1']) {
      await bench.refuse(known);
      await bench.takeUp();
      await bench.untilLeft();
    }
    expect(bench.errors()).toHaveLength(9);
    await bench.refuse('h-0');
    await bench.takeUp();
    await bench.untilLeft();
    expect(bench.answers().at(-1)).toBe('h-0');
  });

  it('a refused handshake without a readable id is answered once a minute, and does not delay one with an id', async () => {
    await bench.refuse(null);
    await bench.takeUp();
    await bench.untilLeft();
    await bench.refuse(null, 'newer');
    await bench.refuse('readable');
    await bench.passed(2000);
    await bench.takeUp();
    await eventually('both kinds are answered', () => expect(bench.answers()).toEqual([null, 'readable']));
    await bench.untilLeft(REFUSE);
    await bench.passed(59_000);
    await bench.takeUp();
    await bench.untilLeft();
    expect(bench.answers()).toEqual([null, 'readable', null]);
    expect(bench.received.at(-1)?.text).toContain('newer');
  });

  it('a refused handshake whose answer reached no client does not count as answered', async () => {
    await bench.subscriber.unsubscribeAsync('out/+');
    await bench.refuse('a');
    await bench.takeUp();
    await bench.untilLeft();
    await bench.subscriber.subscribeAsync('out/+', { qos: 1 });
    await bench.refuse('a');
    await bench.passed(2000);
    await bench.takeUp();
    await bench.untilLeft();
    expect(bench.answers()).toEqual(['a']);
  });

  it('refused handshakes are remembered for no more than 10,000 clients of the shard', async () => {
    const [, answered, recent] = bench.keys.refusals(SHARD.index);
    const clients = Array.from({ length: 10_001 }, (_, i) => `c${i}`);
    await bench.redis.hset(answered, Object.fromEntries(clients.map((id) => [id, '1;0;x'])));
    await bench.redis.zadd(recent, ...clients.flatMap((id, i) => [i, id]));
    await bench.refuse('a');
    await bench.takeUp();
    await bench.untilLeft();
    expect(await bench.redis.zcard(recent)).toBe(10_000);
    expect(await bench.redis.hlen(answered)).toBe(10_000);
    expect(await bench.redis.hexists(answered, CLIENT)).toBe(1);
    expect(await bench.redis.hexists(answered, 'c0')).toBe(0);
  });
});
