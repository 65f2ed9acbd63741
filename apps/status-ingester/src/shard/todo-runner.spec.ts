import { once } from 'node:events';
import { connectAsync } from 'mqtt';
import { encodeConnection, encodeToDo, type ToDo } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { eventually, freePort, quiet, startMosquitto } from '../../../../test/support/servers.js';
import { CLEAR, CLIENT, ERROR, FORGET, OLD, REFUSE, SHARD, ToDoBench } from '../../../../test/support/todo-bench.js';
import { ToDoRunner } from './todo-runner.js';
import type { ToDoKinds } from './todo-catalogue.js';

const bench = new ToDoBench();

describe('ToDoRunner while the broker is away', () => {
  const REPLY: ToDo = {
    do: 'reply',
    client_id: CLIENT,
    message_id: 'x',
    reply: { type: 'force-disconnect', payload: { reconnect_after: 'never' } },
  };
  let port: number;

  beforeEach(async () => {
    port = await freePort();
    await bench.moveTo(`mqtt://127.0.0.1:${port}`);
  });

  it('a to-do that comes up again and again while it waits is published once', async () => {
    await bench.write(REPLY);
    for (let i = 0; i < 20; i++) {
      await bench.redis.zadd(bench.keys.todo(SHARD.index), 1, encodeToDo(REPLY));
      await bench.takeUp();
    }
    const late = await startMosquitto({ port });
    const listener = await connectAsync(late.url, { protocolVersion: 5 });
    const payloads: string[] = [];
    listener.on('message', (_, payload) => payloads.push(payload.toString()));
    await listener.subscribeAsync('out/#', { qos: 1 });
    await eventually('the reply is published and removed', async () => {
      expect(await bench.counted()).toEqual({ reply: 1 });
      expect(await bench.left()).toEqual([]);
    });
    await listener.publishAsync('out/end', 'end', { qos: 1 });
    await eventually('the last message is received', () => expect(payloads).toContain('end'));
    await listener.endAsync(true);
    await late.stop();
    // The reply may have been published before the subscription, but never twice.
    expect(payloads.length).toBeLessThanOrEqual(2);
  });

  it('the removal of a retained message does not wait, since the client may move back', async () => {
    await bench.write(CLEAR);
    await bench.takeUp();
    const back = hostConnection(CLIENT, { status_topic: OLD });
    await bench.redis.hset(bench.keys.connections(SHARD.index), CLIENT, encodeConnection(back));
    await eventually('nothing is left to be published when the broker is back', async () => {
      await bench.redis.zadd(bench.keys.todo(SHARD.index), 'XX', 1, encodeToDo(CLEAR));
      await bench.takeUp();
      expect(await bench.left()).toEqual([]);
    });
  });

  it('to-dos that wait for the broker leave room for all other to-dos', async () => {
    const waiting = Array.from({ length: 3000 }, (_, i): ToDo => ({ ...REPLY, message_id: `x-${i}` }));
    bench.effects.begin(
      SHARD,
      waiting.map((todo) => ({ todo, due: 1 })),
    );
    await bench.write(ERROR, FORGET);
    await bench.takeUp();
    await bench.untilLeft(FORGET);
    await eventually('the command is in the mailbox', async () => expect(await bench.mailbox()).toHaveLength(1));
  });
});

it('a to-do that a commit writes while it runs is run once more', async () => {
  await bench.redis.del(bench.keys.owner(SHARD));
  await bench.redis.set(bench.keys.owner(SHARD), SHARD.fence);
  await bench.refuse('a');
  bench.effects.begin(SHARD, [{ todo: REFUSE, due: 1 }]);
  await bench.refuse('b');
  bench.effects.begin(SHARD, [{ todo: REFUSE, due: 1 }]);
  await eventually('the second run has postponed the to-do by a second', async () => {
    const score = Number(await bench.redis.zscore(bench.keys.todo(SHARD.index), encodeToDo(REFUSE)));
    expect(score === 0 || score > 1).toBe(true);
  });
  await bench.passed(2000);
  await bench.takeUp();
  await bench.untilLeft();
  expect(bench.answers().at(-1)).toBe('b');
});

it('a to-do that was published is not published again before its outcome is known, however long that takes', async () => {
  const contrary = await ContraryBroker.before(bench.broker.port);
  await bench.moveTo(contrary.url);
  await eventually('the publisher is connected', () => expect(bench.publisher.connected).toBe(true));
  contrary.withholdPubacks();
  await bench.refuse('a');
  bench.effects.begin(SHARD, [{ todo: REFUSE, due: 1 }]);
  await eventually('the answer is published', () => expect(contrary.withheld).toBe(1));
  // Its time limit aborts it in the same way.
  bench.effects.withdraw(SHARD, [REFUSE]);
  for (let i = 0; i < 5; i++) {
    await bench.redis.zadd(bench.keys.todo(SHARD.index), 'XX', 1, encodeToDo(REFUSE));
    await bench.takeUp();
    // Another publish of the answer would arrive before this message.
    await bench.subscriber.publishAsync(`out/end-${i}`, '{}', { qos: 1 });
    await eventually('the later message is received', () => {
      expect(bench.received.map(({ topic }) => topic)).toContain(`out/end-${i}`);
    });
  }
  expect(contrary.withheld).toBe(1);
  await contrary.stop();
  await eventually('the publisher is disconnected', () => expect(bench.publisher.connected).toBe(false));
});

it('the runner of to-dos does not start if a kind of to-do has no handler', () => {
  const handled = Object.entries(bench.kinds).filter(([kind]) => kind !== 'flush' && kind !== 'forget');
  const incomplete = Object.fromEntries(handled) as unknown as ToDoKinds;
  expect(() => new ToDoRunner(incomplete, bench.due, quiet)).toThrow(
    'no handler for to-dos of the kind flush, forget: add one to todo-catalogue.ts',
  );
});

it('a running to-do is stopped when a commit has removed it', async () => {
  let signalled: AbortSignal | undefined;
  const gate: ToDoKinds['clear-retained'] = {
    most: 1,
    timeoutMs: 3_600_000,
    atTimeout: 'end',
    removedBy: 'runner',
    run: async (_todo, { signal }) => {
      signalled = signal;
      await once(signal, 'abort');
      return 'later';
    },
  };
  const gated = new ToDoRunner({ ...bench.kinds, 'clear-retained': gate }, bench.due, quiet);
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

it('a to-do whose call of Redis is not answered in time gives up its place, and is started again when the call has ended', async () => {
  const moved = (client_id: string): ToDo => ({ do: 'fail-moved', client_id });
  const started: string[] = [];
  const calls: ((outcome: 'done') => void)[] = [];
  const kind: ToDoKinds['fail-moved'] = {
    most: 1,
    timeoutMs: 20,
    atTimeout: 'abandon',
    removedBy: 'runner',
    run: ({ client_id }) => {
      started.push(client_id);
      return new Promise((resolve) => calls.push(resolve));
    },
  };
  const runner = new ToDoRunner({ ...bench.kinds, 'fail-moved': kind }, bench.due, quiet);
  await bench.write(moved('away'));
  runner.begin(SHARD, [{ todo: moved('away'), due: 1 }]);
  await eventually('another to-do has the place', () => {
    runner.begin(SHARD, [{ todo: moved('away'), due: 1 }]);
    runner.begin(SHARD, [{ todo: moved('next'), due: 1 }]);
    expect(started).toEqual(['away', 'next']);
  });
  calls[0]?.('done');
  await eventually('the to-do runs again', () => {
    runner.begin(SHARD, [{ todo: moved('away'), due: 1 }]);
    expect(started).toEqual(['away', 'next', 'away']);
  });
  // The late outcome did not count.
  expect(await bench.left()).toEqual([moved('away')]);
  expect(await bench.counted()).toEqual({});
  await runner.stop();
});

it('to-dos above the limit of their kind are started as soon as others have ended, the oldest first', async () => {
  const moved = (client_id: string): ToDo => ({ do: 'fail-moved', client_id });
  const started: string[] = [];
  const calls: ((outcome: 'later') => void)[] = [];
  const kind: ToDoKinds['fail-moved'] = {
    most: 2,
    timeoutMs: 3_600_000,
    atTimeout: 'end',
    removedBy: 'runner',
    run: ({ client_id }) => {
      started.push(client_id);
      return new Promise((resolve) => calls.push(resolve));
    },
  };
  const runner = new ToDoRunner({ ...bench.kinds, 'fail-moved': kind }, bench.due, quiet);
  for (const client of ['a', 'b', 'c', 'withdrawn', 'd', 'c']) runner.begin(SHARD, [{ todo: moved(client), due: 1 }]);
  runner.withdraw(SHARD, [moved('withdrawn')]);
  expect(started).toEqual(['a', 'b']);
  for (const [i, next] of ['c', 'd'].entries()) {
    calls[i]?.('later');
    await eventually('the next to-do has the place', () => expect(started.at(-1)).toBe(next));
  }
  for (const end of calls.slice(2)) end('later');
  await runner.stop();
  expect(started).toEqual(['a', 'b', 'c', 'd']);
});

it('to-dos that fail stay, and do not prevent others from running', async () => {
  const broken: ToDo = { do: 'clear-retained', client_id: CLIENT, status_topic: 'no placeholder' };
  await bench.write(broken, ERROR, { do: 'reply', client_id: CLIENT, message_id: 'x', reply: REFUSED });
  await bench.takeUp();
  await bench.untilLeft(broken);
  await eventually('the other to-dos are done', async () => {
    expect(await bench.counted()).toEqual({ 'message-error': 1, reply: 1 });
  });
});

const REFUSED = { type: 'handshake-response', in_response_to: 'm' } as const;
