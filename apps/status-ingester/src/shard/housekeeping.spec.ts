import type { Redis } from '@app/platform';
import { DueTodos, RegistryKeys, encodeToDo, type DeadLetter, type DueToDo, type ToDo } from '@app/registry';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate, quiet, type Gate } from '../../../../test/support/servers.js';
import { HOUSEKEEPING_MS, Housekeeping, untilNextFind } from './housekeeping.js';

const [FIRST, SECOND]: [Grant, Grant] = [grantOf(0), grantOf(1)];
const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };

let redis: Redis;
let keys: RegistryKeys;
let due: DueTodos;
let resumed: [number, ToDo][];
let lost: Grant[];
let housekeeping: Housekeeping;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

function grantOf(index: number): Grant {
  return { kind: 'shard', index, epoch: 1, fence: '1:boot' };
}

beforeEach(async () => {
  keys = new RegistryKeys(`housekeeping${keySpaces++}`);
  due = new DueTodos(redis, keys);
  resumed = [];
  lost = [];
  for (const grant of [FIRST, SECOND]) await redis.set(keys.owner(grant), grant.fence);
});

afterEach(() => housekeeping.stop());

function start(work: Pick<DueTodos, 'find' | 'findFinished' | 'claim' | 'deadLetter'> = due): void {
  const ownership = { grants: () => [FIRST, LANE, SECOND], lost: (grant: Grant) => void lost.push(grant) };
  const todos = {
    resume: ({ index }: Grant, due: readonly DueToDo[]) =>
      void resumed.push(...due.map(({ todo }): [number, ToDo] => [index, todo])),
  };
  housekeeping = new Housekeeping(ownership, work, todos, quiet);
  housekeeping.start();
}

/** Finished messages whose retention has ended. */
async function backlog(shard: number, count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, i) => `old-${i}`);
  for (let i = 0; i < ids.length; i += 10_000) {
    await redis.rpush(keys.finishedOf(shard, 'payer'), ...ids.slice(i, i + 10_000));
  }
  await redis.zadd(keys.finishedDue(shard), 1, 'payer');
}

it('housekeeping runs the due to-dos of each shard, and does not touch lanes', async () => {
  const todos: [ToDo, ToDo] = [{ do: 'wake' }, { do: 'forget', client_id: 'a' }];
  await redis.zadd(keys.todo(0), 1, encodeToDo(todos[0]));
  await redis.zadd(keys.todo(1), 1, encodeToDo(todos[1]));
  await backlog(1, 250);
  start();
  await eventually('the to-dos of both shards are resumed, and old messages are deleted', async () => {
    expect(resumed).toEqual(
      expect.arrayContaining([
        [0, todos[0]],
        [1, todos[1]],
      ]),
    );
    expect(await redis.llen(keys.finishedOf(1, 'payer'))).toBe(0);
  });
});

it('housekeeping calls nothing for a shard on which nothing is due', async () => {
  await redis.zadd(keys.todo(0), Date.now() + 600_000, encodeToDo({ do: 'forget', client_id: 'later' }));
  const claimed: number[] = [];
  start({
    find: (grants) => due.find(grants),
    findFinished: (grants) => due.findFinished(grants),
    deadLetter: (grant, unreadable) => due.deadLetter(grant, unreadable),
    claim: (grant) => {
      claimed.push(grant.index);
      return due.claim(grant);
    },
  });
  await redis.zadd(keys.todo(1), 1, encodeToDo({ do: 'forget', client_id: 'now' }));
  await eventually('the due to-do is resumed', () => expect(resumed).toHaveLength(1));
  await housekeeping.stop();
  expect(new Set(claimed)).toEqual(new Set([1]));
});

it('a shard for which Redis does not answer delays no other shard, and its rounds do not pile up', async () => {
  await redis.zadd(keys.todo(0), 1, encodeToDo({ do: 'forget', client_id: 'stuck' }));
  const stuck: Gate = gate();
  let claims = 0;
  start({
    find: (grants) => due.find(grants),
    findFinished: (grants) => due.findFinished(grants),
    deadLetter: (grant, unreadable) => due.deadLetter(grant, unreadable),
    // The injected fault: Redis does not answer for this shard.
    claim: async (grant) => {
      if (grant === FIRST && ++claims > 0) await stuck.passed;
      return due.claim(grant);
    },
  });
  for (const client_id of ['a', 'b', 'c']) {
    await redis.zadd(keys.todo(1), 1, encodeToDo({ do: 'forget', client_id }));
    await eventually('the other shard resumes its to-do', () => {
      expect(resumed).toContainEqual([1, { do: 'forget', client_id }]);
    });
  }
  expect(claims).toBe(1);
  stuck.open();
});

it('a shard with a large backlog runs a bounded part of it in a round', async () => {
  await backlog(0, 30_000);
  const counts: number[] = [];
  start({
    find: (grants) => due.find(grants),
    findFinished: (grants) => due.findFinished(grants),
    deadLetter: (grant, unreadable) => due.deadLetter(grant, unreadable),
    claim: async (grant) => {
      const work = await due.claim(grant);
      if (grant === FIRST) counts.push(work.forgotten);
      return work;
    },
  });
  await eventually('a round has ended', () => expect(counts.length).toBeGreaterThanOrEqual(20));
  await housekeeping.stop();
  const rounds = counts.length / 20;
  expect(Number.isInteger(rounds)).toBe(true);
  expect(await redis.llen(keys.finishedOf(0, 'payer'))).toBe(30_000 - rounds * 2000);
});

it('housekeeping looks for finished messages less often, and goes on with a large backlog at its next look', async () => {
  const looks: ('due' | 'finished')[] = [];
  const nothing = {
    todos: [],
    unreadable: [],
    expired: 0,
    outcomeUnknown: 0,
    unanswered: 0,
    forgotten: 100,
    forgottenEarly: 0,
  };
  let claims = 0;
  let looksUntilDone: string[] = [];
  start({
    find: () => {
      looks.push('due');
      return Promise.resolve({ grants: [], nextInMs: Infinity });
    },
    findFinished: () => {
      looks.push('finished');
      return Promise.resolve([FIRST]);
    },
    deadLetter: (grant, unreadable) => due.deadLetter(grant, unreadable),
    claim: () => {
      const more = ++claims < 45;
      if (!more) looksUntilDone = [...looks];
      return Promise.resolve({ ...nothing, more });
    },
  });
  await eventually('three rounds have ended', () => expect(claims).toBe(45));
  expect(looksUntilDone).toEqual(['due', 'finished', 'due', 'due']);
});

it('a to-do that cannot be read becomes a dead letter, and the others run', async () => {
  const broken = ['{"do":"from-the-future","client_id":"c"}', 'no JSON', '{"do":"forget"}'];
  await redis.zadd(keys.todo(0), 1, encodeToDo({ do: 'wake' }), ...broken.flatMap((text) => [1, text]));
  start();
  await eventually('the unreadable to-dos are gone', async () => {
    expect(await redis.zrange(keys.todo(0), '0', '-1')).toEqual([encodeToDo({ do: 'wake' })]);
  });
  expect(resumed).toContainEqual([0, { do: 'wake' }]);
  const letters = await redis.xrange(keys.deadLetters(0), '-', '+');
  const read = letters.map(([, fields]) => JSON.parse(fields[fields.indexOf('letter') + 1] ?? '') as DeadLetter);
  expect(read.map(({ sample }) => sample).sort()).toEqual([...broken].sort());
  expect(read.find(({ client_id }) => client_id === 'c')).toMatchObject({ reason: 'internal-error' });
});

it('housekeeping stops for a shard that another instance owns', async () => {
  await redis.set(keys.owner(SECOND), 'another');
  start();
  await eventually('the lost shard is reported', () => expect(lost).toContain(SECOND));
  expect(lost).not.toContain(FIRST);
  await expect(due.deadLetter(SECOND, [{ text: 'x', problem: 'x' }])).rejects.toThrow(StaleOwnerError);
});

it('housekeeping looks again when something is due, at the earliest after half a second and at the latest after a second', () => {
  expect([0, 300, 700, 1200, Infinity].map(untilNextFind)).toEqual([500, 500, 700, HOUSEKEEPING_MS, HOUSEKEEPING_MS]);
});
