import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { Draining } from '../../../../test/support/draining.js';
import { acceptOne } from '../../../../test/support/messages.js';
import { DueTodos, type DueWork } from './due-work.js';
import { Messages } from '../messages/messages.js';
import { Outboxes } from '../messages/outbox.js';
import { RegistryKeys } from '../keys.js';
import { WAKE_AGAIN_MS } from '../messages/wake-todo.js';
import { encodeToDo, type DueToDo, type ToDo } from './to-do.js';

const SHARDS = 4;
const CLIENT = 'host-1';
const SHARD = shardOf(CLIENT, SHARDS);
const GRANT: Grant = { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' };

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let outboxes: Outboxes;
let draining: Draining;
let due: DueTodos;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`due${keySpaces++}`);
  messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 1000,
    shardLimit: 1000,
    retentionMs: 3_600_000,
  });
  outboxes = new Outboxes(redis, keys, SHARDS);
  draining = new Draining(redis, keys, outboxes, CLIENT, SHARDS);
  due = new DueTodos(redis, keys);
  await redis.set(keys.owner(GRANT), GRANT.fence);
  await redis.hset(keys.connections(SHARD), CLIENT, '{}');
  await redis.zadd(keys.index(SHARD, 'online', 'host'), 0, CLIENT);
});

const NOTHING: DueWork = { todos: [], unreadable: [], expired: 0, forgotten: 0, forgottenEarly: 0, more: false };

async function now(): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

async function accept(ttlMs: number): Promise<string> {
  const id = messages.mint(CLIENT);
  await acceptOne(messages, id, {
    clientId: CLIENT,
    directive: 'd',
    payloadJson: undefined,
    ttlMs,
    whenOffline: 'hold',
    idempotencyKey: undefined,
    requestId: 'r',
  });
  return id;
}

async function runOut(id: string): Promise<void> {
  const message = await messages.read(id);
  await eventually('the time to live of the message has ended', async () =>
    expect(await now()).toBeGreaterThan(message?.expiresAt ?? Infinity),
  );
}

async function statuses(id: string): Promise<string[] | undefined> {
  return (await messages.read(id))?.history.map(({ status }) => status);
}

const forget = (clientId: string): ToDo => ({ do: 'forget', client_id: clientId });
const WAKE: ToDo = { do: 'wake' };

async function plan(todo: ToDo, at: number): Promise<void> {
  await redis.zadd(keys.todo(SHARD), at, encodeToDo(todo));
}

function todosOf({ todos }: DueWork): ToDo[] {
  return todos.map(({ todo }) => todo);
}

async function dueAt(todo: ToDo): Promise<number | undefined> {
  const score = await redis.zscore(keys.todo(SHARD), encodeToDo(todo));
  return score === null ? undefined : Number(score);
}

describe('due to-dos', () => {
  it('are claimed once, in the order of their due times, and not earlier', async () => {
    const at = await now();
    await plan(forget('second'), at - 10);
    await plan(WAKE, at - 20);
    await plan(forget('later'), at + 600_000);
    const taken = await due.claim(GRANT);
    expect(todosOf(taken)).toEqual([WAKE, forget('second')]);
    expect(taken).toMatchObject({ expired: 0, forgotten: 0, more: false });
    expect(await due.claim(GRANT)).toEqual(NOTHING);
  });

  it('are claimed again after the grace period if they were not done', async () => {
    const before = await now();
    await plan(forget('a'), before - 1);
    await due.claim(GRANT);
    const again = (await dueAt(forget('a'))) ?? 0;
    expect(again).toBeGreaterThanOrEqual(before + WAKE_AGAIN_MS);
    expect(again).toBeLessThan((await now()) + WAKE_AGAIN_MS + 1);
    // As if the grace period had passed.
    await redis.zincrby(keys.todo(SHARD), -WAKE_AGAIN_MS, encodeToDo(forget('a')));
    await eventually('the to-do is due again', async () =>
      expect(todosOf(await due.claim(GRANT))).toEqual([forget('a')]),
    );
  });

  it('are removed when they are done', async () => {
    const at = await now();
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
    const at = await now();
    await plan(forget('a'), at - 1);
    const { todos } = await due.claim(GRANT);
    const [taken] = todos as [DueToDo];
    await plan(forget('a'), Math.floor(taken.due));
    await due.done(GRANT, todos);
    expect(await dueAt(forget('a'))).toBe(Math.floor(taken.due));
  });

  it('are claimed in batches, and each batch says whether there are more', async () => {
    const at = await now();
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
    const at = await now();
    for (const [i, todo] of todos.entries()) await plan(todo, at - 100 + i);
    expect(todosOf(await due.claim(GRANT))).toEqual(todos);
  });
});

describe('messages whose time to live has ended', () => {
  it('expire although the outbox is not a list, and the outbox becomes a dead letter', async () => {
    const id = await accept(1);
    await redis.set(keys.outbox(SHARD, CLIENT), 'text');
    await runOut(id);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 1 });
    expect(await statuses(id)).toEqual(['queued', 'expired']);
    expect(await redis.xlen(keys.deadLetters(SHARD))).toBe(1);
  });

  it('expire and are removed from the outbox', async () => {
    const [short, long] = [await accept(1), await accept(600_000)];
    await runOut(short);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 1, more: false });
    expect(await statuses(short)).toEqual(['queued', 'expired']);
    expect(await statuses(long)).toEqual(['queued']);
    expect(await redis.lrange(keys.outbox(SHARD, CLIENT), 0, -1)).toEqual([long]);
    expect(await redis.zrange(keys.expiry(SHARD), '0', '-1')).toEqual([long]);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0 });
  });

  it('do not expire while they are in flight, are checked again a second later, and expire after they were put back', async () => {
    const id = await accept(30);
    expect((await draining.claim()).kind).toBe('claimed');
    await runOut(id);
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0 });
    expect(await statuses(id)).toEqual(['queued', 'in_flight']);
    const again = Number(await redis.zscore(keys.expiry(SHARD), id));
    expect(again - (await now())).toBeGreaterThan(0);
    expect(again - (await now())).toBeLessThanOrEqual(1000);
    await draining.settle({ messageId: id, attempt: 1, outcome: 'unheard' });
    await redis.zincrby(keys.expiry(SHARD), -1000, id);
    await eventually('the message expires', async () => expect((await due.claim(GRANT)).expired).toBe(1));
    expect(await statuses(id)).toEqual(['queued', 'in_flight', 'queued', 'expired']);
    expect(await redis.exists(keys.outbox(SHARD, CLIENT))).toBe(0);
  });

  it('are no longer scheduled to expire if their record is lost', async () => {
    const id = await accept(1);
    await runOut(id);
    await redis.del(keys.message(SHARD, id));
    expect(await due.claim(GRANT)).toMatchObject({ expired: 0 });
    expect(await redis.exists(keys.expiry(SHARD))).toBe(0);
  });

  it('expire in batches', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 150; i++) ids.push(await accept(1));
    await runOut(ids.at(-1) ?? '');
    expect(await due.claim(GRANT)).toMatchObject({ expired: 100, more: true });
    expect(await due.claim(GRANT)).toMatchObject({ expired: 50, more: false });
    expect(await redis.exists(keys.outbox(SHARD, CLIENT))).toBe(0);
    expect(await statuses(ids.at(-1) ?? '')).toEqual(['queued', 'expired']);
  });
});

describe('finished messages', () => {
  it('are kept for the retention and then removed with their index entries', async () => {
    const [sent, failed, open] = [await accept(600_000), await accept(600_000), await accept(600_000)];
    await draining.claim();
    await draining.settle({ messageId: sent, attempt: 1, outcome: 'sent' });
    const before = await now();
    await draining.settle({ messageId: failed, attempt: 1, outcome: 'failed', details: 'x' });
    const end = Number(await redis.zscore(keys.finished(SHARD), failed));
    expect(end).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(end).toBeLessThanOrEqual((await now()) + 3_600_000);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 0 });
    // As if the retention had passed.
    for (const id of [sent, failed]) await redis.zadd(keys.finished(SHARD), before - 1, id);
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 2, more: false });
    expect(await redis.exists(keys.message(SHARD, sent), keys.message(SHARD, failed), keys.finished(SHARD))).toBe(0);
    expect(await redis.zrange(keys.messages(SHARD, CLIENT), '0', '-1')).toEqual([open]);
  });

  it('are kept for the retention after their last change if they fail after they were sent', async () => {
    const id = await accept(600_000);
    await draining.claim();
    await draining.settle({ messageId: id, attempt: 1, outcome: 'sent' });
    await redis.zadd(keys.finished(SHARD), 1, id);
    await outboxes.failByClient(CLIENT, id, 'broken');
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 0 });
    expect(await statuses(id)).toEqual(['queued', 'in_flight', 'sent', 'failed']);
  });

  it('are removed in batches', async () => {
    await redis.zadd(keys.finished(SHARD), ...Array.from({ length: 150 }, (_, i) => [i, `gone-${i}`]).flat());
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 100, more: true });
    expect(await due.claim(GRANT)).toMatchObject({ forgotten: 50, more: false });
  });
});

describe('a former owner', () => {
  it('claims no work and changes nothing', async () => {
    const at = await now();
    await plan(forget('a'), at - 1);
    const id = await accept(1);
    await runOut(id);
    await redis.set(keys.owner(GRANT), '2:another');
    const taken = due.claim(GRANT);
    await expect(taken).rejects.toThrow(StaleOwnerError);
    await expect(taken).rejects.toMatchObject({ grant: GRANT });
    expect(await dueAt(forget('a'))).toBe(at - 1);
    expect(await statuses(id)).toEqual(['queued']);
  });

  it('does not remove to-dos that it has done, so that the new owner does them again', async () => {
    await plan(forget('a'), (await now()) - 1);
    const { todos } = await due.claim(GRANT);
    await redis.del(keys.owner(GRANT));
    await expect(due.done(GRANT, todos)).rejects.toThrow(StaleOwnerError);
    expect(await dueAt(forget('a'))).toBeDefined();
  });
});
