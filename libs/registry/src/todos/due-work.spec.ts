import { StaleOwnerError } from '@app/sharding';
import { CLIENT, GRANT, SHARD, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { eventually } from '../../../../test/support/servers.js';
import { formerFinished } from '../messages/finished-messages.js';
import { DueTodos, TODO_AGAIN_MS, type DueWork } from './due-work.js';
import { encodeToDo, type DueToDo, type ToDo } from './to-do.js';

let bench: MessageBench;
let due: DueTodos;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  due = new DueTodos(bench.redis, bench.keys);
  await bench.own();
  await bench.become('online');
});

const NOTHING: DueWork = {
  todos: [],
  unreadable: [],
  expired: 0,
  outcomeUnknown: 0,
  unanswered: 0,
  forgotten: 0,
  forgottenEarly: 0,
  more: false,
};

const forget = (clientId: string): ToDo => ({ do: 'forget', client_id: clientId });
const WAKE: ToDo = { do: 'wake' };

async function plan(todo: ToDo, at: number): Promise<void> {
  await bench.redis.zadd(bench.keys.todo(SHARD), at, encodeToDo(todo));
}

function todosOf({ todos }: DueWork): ToDo[] {
  return todos.map(({ todo }) => todo);
}

async function dueAt(todo: ToDo): Promise<number | undefined> {
  const score = await bench.redis.zscore(bench.keys.todo(SHARD), encodeToDo(todo));
  return score === null ? undefined : Number(score);
}

describe('due to-dos', () => {
  it('are claimed once, in the order of their due times, and not earlier', async () => {
    const at = await bench.now();
    await plan(forget('second'), at - 10);
    await plan(WAKE, at - 20);
    await plan(forget('later'), at + 600_000);
    const taken = await due.claim(GRANT);
    expect(todosOf(taken)).toEqual([WAKE, forget('second')]);
    expect(taken).toMatchObject({ expired: 0, forgotten: 0, more: false });
    expect(await due.claim(GRANT)).toEqual(NOTHING);
  });

  it('are claimed again after the grace period if they were not done', async () => {
    const before = await bench.now();
    await plan(forget('a'), before - 1);
    await due.claim(GRANT);
    const again = (await dueAt(forget('a'))) ?? 0;
    expect(again).toBeGreaterThanOrEqual(before + TODO_AGAIN_MS);
    expect(again).toBeLessThan((await bench.now()) + TODO_AGAIN_MS + 1);
    // As if the grace period had passed.
    await bench.redis.zincrby(bench.keys.todo(SHARD), -TODO_AGAIN_MS, encodeToDo(forget('a')));
    await eventually('the to-do is due again', async () =>
      expect(todosOf(await due.claim(GRANT))).toEqual([forget('a')]),
    );
  });

  it('are removed when they are done', async () => {
    const at = await bench.now();
    await plan(forget('a'), at - 1);
    await plan(forget('b'), at - 1);
    const { todos } = await due.claim(GRANT);
    expect(todos).toHaveLength(2);
    const a = todos.filter(({ todo }) => todo.do === 'forget' && todo.client_id === 'a');
    await due.done(GRANT, [...a, { todo: forget('never planned'), due: at }]);
    expect(await dueAt(forget('a'))).toBeUndefined();
    expect(await dueAt(forget('b'))).toBeDefined();
    await expect(due.done(GRANT, [])).resolves.toBeUndefined();
  });

  it('stay if they were written again while they were running, even for the same time', async () => {
    const at = await bench.now();
    await plan(forget('a'), at - 1);
    const { todos } = await due.claim(GRANT);
    const [taken] = todos as [DueToDo];
    await plan(forget('a'), Math.floor(taken.due));
    await due.done(GRANT, todos);
    expect(await dueAt(forget('a'))).toBe(Math.floor(taken.due));
  });

  it('are claimed in batches, and each batch says whether there are more', async () => {
    const at = await bench.now();
    for (let i = 0; i < 250; i++) await plan(forget(`client-${i}`), at - 1000 + i);
    const portions: DueWork[] = [];
    do portions.push(await due.claim(GRANT));
    while (portions.at(-1)?.more);
    expect(portions.map(({ todos }) => todos.length)).toEqual([100, 100, 50]);
    expect(portions.flatMap(todosOf)).toEqual(Array.from({ length: 250 }, (_, i) => forget(`client-${i}`)));
  });

  it('of each kind are read as they were written', async () => {
    const todos: ToDo[] = [
      WAKE,
      forget('a "b"'),
      { do: 'message-error', client_id: 'c', in_response_to: 'm', details: 'line\nline' },
      { do: 'clear-retained', client_id: 'c', status_topic: 'status/{clientId}' },
      {
        do: 'reply',
        client_id: 'c',
        message_id: 'x',
        reply: { type: 'handshake-error', in_response_to: null, payload: { details: 'why' } },
      },
    ];
    const at = await bench.now();
    for (const [i, todo] of todos.entries()) await plan(todo, at - 100 + i);
    expect(todosOf(await due.claim(GRANT))).toEqual(todos);
  });
});

describe('messages whose time to live has ended', () => {
  it('expire although the outbox is not a list, and the outbox becomes a dead letter', async () => {
    const id = await bench.add({ ttlMs: 1 });
    await bench.redis.set(bench.keys.outbox(SHARD, CLIENT), 'text');
    await bench.untilExpiry(id);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 1 });
    expect(await bench.statuses(id)).toEqual(['queued', 'expired']);
    expect(await bench.redis.xlen(bench.keys.deadLetters(SHARD))).toBe(1);
  });

  it('expire and are removed from the outbox', async () => {
    const [short, long] = [await bench.add({ ttlMs: 1 }), await bench.add()];
    await bench.untilExpiry(short);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 1, more: false });
    expect(await bench.statuses(short)).toEqual(['queued', 'expired']);
    expect(await bench.statuses(long)).toEqual(['queued']);
    expect(await bench.redis.lrange(bench.keys.outbox(SHARD, CLIENT), 0, -1)).toEqual([long]);
    expect(await bench.redis.zrange(bench.keys.expiry(SHARD), '0', '-1')).toEqual([long]);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0 });
  });

  it('do not expire while they are in flight, are checked again a second later, and expire after they were put back', async () => {
    const id = await bench.add();
    expect((await bench.takeOver()).kind).toBe('claimed');
    await bench.endTimeToLive(id);
    const before = await bench.now();
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0 });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight']);
    const again = Number(await bench.redis.zscore(bench.keys.expiry(SHARD), id));
    expect(again).toBeGreaterThanOrEqual(before + 1000);
    expect(again).toBeLessThanOrEqual((await bench.now()) + 1000);
    await bench.complete({ messageId: id, attempt: 1, outcome: 'no-subscribers' });
    await bench.redis.zincrby(bench.keys.expiry(SHARD), -1000, id);
    await eventually('the message expires', async () => expect((await due.claim(GRANT)).expired).toBe(1));
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'queued', 'expired']);
    expect(await bench.redis.exists(bench.keys.outbox(SHARD, CLIENT))).toBe(0);
  });

  it('are no longer scheduled to expire if their record is lost', async () => {
    const id = await bench.add({ ttlMs: 1 });
    await bench.untilExpiry(id);
    await bench.redis.del(bench.keys.message(SHARD, id));
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0 });
    expect(await bench.redis.exists(bench.keys.expiry(SHARD))).toBe(0);
  });

  it('expire in batches', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 150; i++) ids.push(await bench.add({ ttlMs: 1 }));
    await bench.untilExpiry(ids.at(-1) ?? '');
    expect(await due.claim(GRANT)).toMatchObject({ expired: 100, more: true });
    expect(await due.claim(GRANT)).toMatchObject({ expired: 50, more: false });
    expect(await bench.redis.exists(bench.keys.outbox(SHARD, CLIENT))).toBe(0);
    expect(await bench.statuses(ids.at(-1) ?? '')).toEqual(['queued', 'expired']);
  });
});

describe('finished messages', () => {
  it('are kept for the retention and then removed with their index entries', async () => {
    const [sent, failed, open] = [await bench.add(), await bench.add(), await bench.add()];
    await bench.takeOver();
    const before = await bench.now();
    await bench.complete({ messageId: sent, attempt: 1, outcome: 'sent' });
    await bench.complete({ messageId: failed, attempt: 1, outcome: 'failed', details: 'x' });
    const end = Number(await bench.redis.zscore(bench.keys.finishedDue(SHARD), 'unknown'));
    expect(end).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(end).toBeLessThanOrEqual((await bench.now()) + 3_600_000);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 0 });
    // As if the retention had passed.
    await bench.endRetention(sent, failed);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 2, more: false });
    expect(
      await bench.redis.exists(
        bench.keys.message(SHARD, sent),
        bench.keys.message(SHARD, failed),
        bench.keys.finishedDue(SHARD),
        bench.keys.finishedCount(SHARD),
        bench.keys.finishedBytes(SHARD),
        bench.keys.finishedOf(SHARD, 'unknown'),
      ),
    ).toBe(0);
    expect(await bench.redis.zrange(bench.keys.messages(SHARD, CLIENT), '0', '-1')).toEqual([open]);
  });

  it('are kept for the retention after their last change if they fail after they were sent', async () => {
    const id = await bench.add();
    await bench.takeOver();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    await bench.endRetention(id);
    await bench.outboxes.failByClient(CLIENT, id, 'broken');
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 0 });
    expect(await bench.statuses(id)).toEqual(['queued', 'in_flight', 'sent', 'failed']);
    const again = Number(await bench.redis.zscore(bench.keys.finishedDue(SHARD), 'unknown'));
    expect(again).toBeGreaterThan((await bench.now()) - 1000);
  });

  it('that fail after they were sent do not keep the others', async () => {
    const ids = [await bench.add(), await bench.add(), await bench.add()];
    await bench.takeOver();
    for (const id of ids) await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    const [first = '', ...others] = ids;
    await bench.outboxes.failByClient(CLIENT, first, 'broken');
    await bench.endRetention(...others);
    await bench.redis.zadd(bench.keys.finishedDue(SHARD), 1, 'unknown');
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 2 });
    expect(await bench.finishedLists()).toEqual(new Map([['unknown', [first]]]));
  });

  it('are removed in batches', async () => {
    for (let i = 0; i < 150; i++) await bench.messages.cancel(await bench.add());
    await bench.endRetention(...((await bench.finishedLists()).get('unknown') ?? []));
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 100, more: true });
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 50, more: false });
  });
});

describe('a former owner', () => {
  it('claims no work and changes nothing', async () => {
    const at = await bench.now();
    await plan(forget('a'), at - 1);
    const id = await bench.add({ ttlMs: 1 });
    await bench.untilExpiry(id);
    await bench.redis.set(bench.keys.owner(GRANT), '2:another');
    const taken = due.claim(GRANT);
    await expect(taken).rejects.toThrow(StaleOwnerError);
    await expect(taken).rejects.toMatchObject({ grant: GRANT });
    expect(await dueAt(forget('a'))).toBe(at - 1);
    expect(await bench.statuses(id)).toEqual(['queued']);
  });

  it('does not remove to-dos that it has done, so that the new owner does them again', async () => {
    await plan(forget('a'), (await bench.now()) - 1);
    const { todos } = await due.claim(GRANT);
    await bench.redis.del(bench.keys.owner(GRANT));
    await expect(due.done(GRANT, todos)).rejects.toThrow(StaleOwnerError);
    expect(await dueAt(forget('a'))).toBeDefined();
  });
});

describe('a look for due work', () => {
  const found = async (limited = due): Promise<number[]> => {
    const [{ grants }, finished] = await Promise.all([limited.find([GRANT]), limited.findFinished([GRANT])]);
    return [...grants, ...finished].map(({ index }) => index);
  };

  it('finds nothing on a shard at rest, nor what is due later', async () => {
    await plan(forget('later'), (await bench.now()) + 600_000);
    await bench.redis.zadd(bench.keys.expiry(SHARD), (await bench.now()) + 600_000, 'm');
    await bench.redis.zadd(bench.keys.finishedDue(SHARD), (await bench.now()) + 600_000, 'm');
    expect(await found()).toEqual([]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a to-do', () => plan(forget('a'), 1)],
    ['a message whose time to live has run out', () => bench.redis.zadd(bench.keys.expiry(SHARD), 1, 'm')],
    ['a finished message whose retention has ended', () => bench.redis.zadd(bench.keys.finishedDue(SHARD), 1, 'm')],
    ['finished messages of 0.1.0', () => bench.redis.zadd(formerFinished(bench.keys, SHARD), 1, 'm')],
    ['another owner', () => bench.redis.set(bench.keys.owner(GRANT), 'another')],
    ['a key that cannot be read', () => bench.redis.set(bench.keys.todo(SHARD), 'no sorted set')],
    [
      'a key of finished messages that cannot be read',
      () => bench.redis.set(bench.keys.finishedDue(SHARD), 'no sorted set'),
    ],
  ])('finds %s', async (_, make) => {
    await make();
    expect(await found()).toEqual([SHARD]);
  });

  it('finds too many finished messages, and too many bytes of them', async () => {
    await bench.redis.set(bench.keys.finishedCount(SHARD), 1);
    await bench.redis.zadd(bench.keys.finishedBytes(SHARD), 100, '');
    const limited = (count: number, bytes: number): DueTodos =>
      new DueTodos(bench.redis, bench.keys, () => ({ count, bytes }));
    expect(await found(limited(1, 100))).toEqual([]);
    expect(await found(limited(0, 100))).toEqual([SHARD]);
    expect(await found(limited(1, 99))).toEqual([SHARD]);
  });

  it('looks at many shards', async () => {
    const grants = Array.from({ length: 150 }, (_, index) => ({ ...GRANT, index }));
    for (const grant of grants) await bench.redis.set(bench.keys.owner(grant), grant.fence);
    for (const index of [3, 64, 149]) await bench.redis.zadd(bench.keys.todo(index), 1, encodeToDo(WAKE));
    expect((await due.find(grants)).grants.map(({ index }) => index)).toEqual([3, 64, 149]);
    for (const index of [0, 65, 148]) await bench.redis.zadd(bench.keys.finishedDue(index), 1, 'payer');
    expect((await due.findFinished(grants)).map(({ index }) => index)).toEqual([0, 65, 148]);
  });

  it('says when something will be due that is not due yet, on any shard', async () => {
    const grants = Array.from({ length: 150 }, (_, index) => ({ ...GRANT, index }));
    expect(await due.find(grants)).toEqual({ grants: [], nextInMs: Infinity });
    const at = await bench.now();
    await bench.redis.zadd(bench.keys.todo(1), 1, encodeToDo(WAKE));
    await bench.redis.zadd(bench.keys.todo(149), at + 600_000, encodeToDo(WAKE));
    await bench.redis.zadd(bench.keys.expiry(2), at + 300_000, 'm');
    const { grants: found, nextInMs } = await due.find(grants);
    expect(found.map(({ index }) => index)).toEqual([1]);
    expect(nextInMs).toBeLessThanOrEqual(300_000);
    expect(nextInMs).toBeGreaterThan(0);
  });
});
