import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { Messages, type MintedMessage } from './messages.js';
import { Outboxes, type ClaimedMessage, type DrainStep, type Settlement } from './outbox.js';
import { RegistryKeys } from '../keys.js';
import { WAKE_TODO } from './wake-todo.js';

const SHARD = 0;
const CLIENTS = ['a', 'b', 'c', 'd', 'e'];

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let outboxes: Outboxes;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`drain${keySpaces++}`);
  messages = new Messages(redis, keys, { shardCount: 1, outboxLimit: 100, shardLimit: 1000, retentionMs: 60_000 });
  outboxes = new Outboxes(redis, keys, 1);
  for (const id of CLIENTS) await become('online', id);
});

async function become(state: 'online' | 'offline', id: string): Promise<void> {
  await redis.hset(keys.connections(SHARD), id, '{}');
  await redis.zrem(keys.index(SHARD, state === 'online' ? 'offline' : 'online', 'host'), id);
  await redis.zadd(keys.index(SHARD, state, 'host'), 0, id);
}

/** As the commit of its handshake does. */
async function arrive(id: string): Promise<void> {
  await become('online', id);
  await redis.zadd(keys.woken(SHARD), 0, id);
}

function minted(clientId: string, more: Partial<MintedMessage> = {}): MintedMessage {
  return {
    messageId: messages.mint(clientId),
    clientId,
    directive: 'test:drain',
    payloadJson: undefined,
    ttlMs: 600_000,
    whenOffline: 'hold',
    idempotencyKey: undefined,
    requestId: 'r',
    ...more,
  };
}

/** Accepts a message for each of these, and says whether somebody is to be woken. */
async function accept(...ids: string[]): Promise<boolean> {
  const { outcomes, wake } = await messages.accept(
    SHARD,
    ids.map((id) => minted(id)),
  );
  expect(outcomes.map(({ kind }) => kind)).toEqual(ids.map(() => 'accepted'));
  return wake;
}

async function begin(room = 10, settlements: Settlement[] = []): Promise<DrainStep> {
  return outboxes.step(SHARD, { run: undefined, underWay: 0, room, settlements });
}

function clientsOf({ claimed }: DrainStep): string[] {
  return claimed.map(({ clientId }) => clientId);
}

function claimOf({
  clientId,
  messageId,
  attempt,
}: ClaimedMessage): Pick<ClaimedMessage, 'clientId' | 'messageId' | 'attempt'> {
  return { clientId, messageId, attempt };
}

function sent(message: ClaimedMessage): Settlement {
  return { ...claimOf(message), outcome: 'sent' };
}

function ofClient(step: DrainStep, id: string): ClaimedMessage {
  const message = step.claimed.find(({ clientId }) => clientId === id);
  if (message === undefined) throw new Error(`nothing was claimed of ${id}`);
  return message;
}

async function statusOf({ messageId }: ClaimedMessage): Promise<string | undefined> {
  return (await messages.read(messageId))?.status;
}

describe('a drain run', () => {
  it('takes who waits in the order of their wake-ups, as many as there is room for', async () => {
    for (const id of ['c', 'a', 'e', 'b']) await accept(id);
    const first = await begin(2);
    expect([first.kind, clientsOf(first)]).toEqual(['draining', ['c', 'a']]);
    const next = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 1,
      settlements: [sent(ofClient(first, 'a'))],
    });
    expect([clientsOf(next), next.ends.empty]).toEqual([['e'], 1]);
    expect(await redis.zrange(keys.woken(SHARD), '0', '-1')).toEqual(['b']);
  });

  it('claims payloads of about 16 MiB with a step, and those of the others with the next ones', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `large-${String(i).padStart(2, '0')}`);
    const payloadJson = `"${'x'.repeat(999_998)}"`;
    for (const id of ids) {
      await become('online', id);
      await messages.accept(SHARD, [minted(id, { payloadJson })]);
    }
    const first = await begin(50);
    expect([first.kind, first.claimed.length, first.ends.interrupted]).toEqual(['draining', 17, 23]);
    // What is not settled yet stays under way beside it.
    const [, ...settled] = first.claimed;
    const second = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 49,
      settlements: settled.map(sent),
    });
    expect([second.kind, second.claimed.length]).toEqual(['draining', 17]);
    const third = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 49,
      settlements: second.claimed.map(sent),
    });
    const claimed = [first, second, third].flatMap((step) => clientsOf(step));
    expect(claimed.toSorted()).toEqual(ids);
    const last = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 0,
      room: 50,
      settlements: [...first.claimed.slice(0, 1), ...third.claimed].map(sent),
    });
    expect([last.kind, last.claimed]).toEqual(['idle', []]);
  });

  it('is idle when nothing is left, and leaves nothing behind', async () => {
    await accept(...CLIENTS);
    const { run, claimed } = await begin();
    const last = await outboxes.step(SHARD, { run, underWay: 0, room: 10, settlements: claimed.map(sent) });
    expect(last).toMatchObject({ kind: 'idle', claimed: [], ends: { empty: CLIENTS.length } });
    expect(await redis.exists(keys.woken(SHARD), keys.draining(SHARD), keys.todo(SHARD))).toBe(0);
  });

  it('claims the next message of completed connections, and takes no other connection without room', async () => {
    await accept('a', 'a', 'b');
    const first = await begin(1);
    const next = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 0,
      room: 0,
      settlements: first.claimed.map(sent),
    });
    expect([next.kind, clientsOf(next)]).toEqual(['draining', ['a']]);
    const last = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 0,
      room: 0,
      settlements: next.claimed.map(sent),
    });
    expect([last.kind, last.claimed]).toEqual(['draining', []]);
    expect(clientsOf(await outboxes.step(SHARD, { run: first.run, underWay: 0, room: 1, settlements: [] }))).toEqual([
      'b',
    ]);
  });

  it('takes over what an earlier one had, first in order and under the same ids', async () => {
    await accept('a', 'b', 'c');
    const dead = await begin(2);
    const heir = await begin(10);
    expect(clientsOf(heir).toSorted()).toEqual(['a', 'b', 'c']);
    expect(ofClient(heir, 'a')).toMatchObject({ messageId: ofClient(dead, 'a').messageId, attempt: 2 });
    expect(ofClient(heir, 'c').attempt).toBe(1);
  });

  it('that another one has followed has no say any more, but what was sent is not lost with it', async () => {
    await accept('a', 'b', 'c');
    const old = await begin(2);
    const young = await begin(0);
    const [a, b] = [ofClient(old, 'a'), ofClient(old, 'b')];
    const step = await outboxes.step(SHARD, {
      ...{ run: old.run, underWay: 0, room: 5 },
      settlements: [sent(a), { ...claimOf(b), outcome: 'failed', details: 'x' }],
    });
    expect(step).toMatchObject({ kind: 'superseded', claimed: [] });
    expect([await statusOf(a), await statusOf(b)]).toEqual(['sent', 'in_flight']);
    expect(await redis.zrange(keys.woken(SHARD), '0', '-1')).toEqual(['c']);
    const last = await outboxes.step(SHARD, {
      run: young.run,
      underWay: 0,
      room: 0,
      settlements: young.claimed.map(sent),
    });
    expect(last.ends.empty).toBe(2);
  });

  it('detects that the reply to a step was lost, changes nothing, and begins again', async () => {
    await accept('a', 'a', 'b', 'c');
    const first = await begin(1);
    const state = { run: first.run, underWay: 0, room: 2, settlements: first.claimed.map(sent) };
    const unseen = await outboxes.step(SHARD, state);
    expect(clientsOf(unseen)).toEqual(['a', 'b', 'c']);
    expect(await outboxes.step(SHARD, state)).toMatchObject({ kind: 'lost', claimed: [] });
    expect(await redis.smembers(keys.draining(SHARD))).toHaveLength(3);
    const anew = await begin(0, state.settlements);
    expect(anew.claimed.map(({ clientId, attempt }) => [clientId, attempt]).toSorted()).toEqual([
      ['a', 2],
      ['b', 2],
      ['c', 2],
    ]);
    expect(await statusOf(ofClient(first, 'a'))).toBe('sent');
  });

  it.each([false, true])(
    'begun anew, takes nobody over who is to be tried again (came online meanwhile: %s)',
    async (arrived) => {
      await accept('a', 'b');
      const first = await begin(1);
      if (arrived) await arrive('a');
      const settlements: Settlement[] = [{ ...claimOf(ofClient(first, 'a')), outcome: 'unheard' }];
      const anew = await begin(5, settlements);
      expect(anew.claimed.map(({ clientId, attempt }) => [clientId, attempt]).toSorted()).toEqual(
        arrived
          ? [
              ['a', 2],
              ['b', 1],
            ]
          : [['b', 1]],
      );
      expect((await redis.smembers(keys.draining(SHARD))).toSorted()).toEqual(arrived ? ['a', 'b'] : ['b']);
    },
  );

  it('detects a lost reply even if as many connections have ended as were taken', async () => {
    await accept('a', 'b');
    const first = await begin(1);
    const state = { run: first.run, underWay: 0, room: 1, settlements: first.claimed.map(sent) };
    expect(clientsOf(await outboxes.step(SHARD, state))).toEqual(['b']);
    expect((await outboxes.step(SHARD, state)).kind).toBe('lost');
  });

  it('claims a message again if the first claim arrived too late', async () => {
    await accept('a');
    const { run } = await begin();
    const step = await outboxes.step(SHARD, {
      run,
      underWay: 0,
      room: 0,
      settlements: [{ clientId: 'a', outcome: 'late' }],
    });
    expect(ofClient(step, 'a').attempt).toBe(2);
  });

  it('a run that is about to end puts completed connections back for the next run', async () => {
    await accept('a', 'a', 'b', 'c');
    const first = await begin(2);
    const last = await outboxes.step(SHARD, {
      ...{ run: first.run, underWay: 0, room: 'none-goes-on' },
      settlements: first.claimed.map(sent),
    });
    expect(last).toMatchObject({ kind: 'draining', claimed: [], ends: { interrupted: 1, empty: 1 } });
    expect(await redis.exists(keys.draining(SHARD))).toBe(0);
    const heir = await begin();
    expect(clientsOf(heir)).toEqual(['c', 'a']);
  });
});

describe('who is to be tried again', () => {
  async function unheard(...ids: string[]): Promise<DrainStep> {
    await accept(...ids);
    const { run, claimed } = await begin();
    const settlements = claimed.map((message): Settlement => ({ ...claimOf(message), outcome: 'unheard' }));
    return outboxes.step(SHARD, { run, underWay: 0, room: 10, settlements });
  }

  it('waits for its time, at which the shard is woken by a to-do', async () => {
    expect(await unheard('a', 'b')).toMatchObject({ kind: 'idle', ends: { waiting: 2 } });
    expect(await begin()).toMatchObject({ kind: 'idle', claimed: [] });
    const [, first] = await redis.zrange(keys.woken(SHARD), '0', '0', 'WITHSCORES');
    expect(await redis.zscore(keys.todo(SHARD), WAKE_TODO)).toBe(`${Math.ceil(Number(first) / 1000)}`);
    // As if its time had come.
    await redis.zadd(keys.woken(SHARD), 1, 'b');
    expect(clientsOf(await begin())).toEqual(['b']);
  });

  it('keeps no other one of its shard waiting', async () => {
    await unheard('a');
    expect(await accept('b')).toBe(true);
    expect(clientsOf(await begin())).toEqual(['b']);
  });

  it('is tried at once when a message is accepted for it', async () => {
    await unheard('a');
    expect(await accept('a')).toBe(true);
    expect(clientsOf(await begin())).toEqual(['a']);
  });

  it('does not wait if the client came online during the attempt', async () => {
    await accept('a');
    const first = await begin();
    await arrive('a');
    const [message] = first.claimed as [ClaimedMessage];
    const settlements: Settlement[] = [{ ...claimOf(message), outcome: 'unheard' }];
    const step = await outboxes.step(SHARD, { run: first.run, underWay: 0, room: 1, settlements });
    expect(ofClient(step, 'a')).toMatchObject({ messageId: message.messageId, attempt: 2 });
  });

  it('does not wait in that case even if another step was made in between', async () => {
    await accept('a', 'b');
    const first = await begin();
    await arrive('a');
    const between = await outboxes.step(SHARD, {
      run: first.run,
      underWay: 1,
      room: 5,
      settlements: [sent(ofClient(first, 'b'))],
    });
    expect(between.claimed).toEqual([]);
    const settlements: Settlement[] = [{ ...claimOf(ofClient(first, 'a')), outcome: 'unheard' }];
    const step = await outboxes.step(SHARD, { run: first.run, underWay: 0, room: 5, settlements });
    expect(ofClient(step, 'a').attempt).toBe(2);
  });
});

describe('an accept', () => {
  it('asks for a dispatcher if none drains the shard and no wake-up is pending', async () => {
    expect(await accept('a')).toBe(true);
    expect(await accept('b')).toBe(false);
    const { run, claimed } = await begin();
    expect(await accept('c')).toBe(false);
    const step = await outboxes.step(SHARD, { run, underWay: 0, room: 9, settlements: claimed.map(sent) });
    expect(clientsOf(step)).toEqual(['c']);
    const last = await outboxes.step(SHARD, { run, underWay: 0, room: 9, settlements: step.claimed.map(sent) });
    expect(last.kind).toBe('idle');
    expect(await accept('d')).toBe(true);
  });

  it('asks for a dispatcher again if the first wake-up was not enqueued within a second', async () => {
    expect(await accept('a')).toBe(true);
    const left = await redis.pttl(keys.waking(SHARD));
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(1000);
    await eventually(async () => expect(await redis.exists(keys.waking(SHARD))).toBe(0));
    expect(await accept('b')).toBe(true);
  });

  it.each([undefined, 'key'])(
    'that is repeated after a lost reply has one woken again (Idempotency-Key: %s)',
    async (key) => {
      const message = minted('a', { idempotencyKey: key });
      expect((await messages.accept(SHARD, [message])).wake).toBe(true);
      expect((await messages.accept(SHARD, [message])).wake).toBe(true);
    },
  );

  it('that is repeated has one woken whatever else is in it', async () => {
    await become('offline', 'b');
    const both = [minted('a'), minted('b')];
    expect((await messages.accept(SHARD, both)).wake).toBe(true);
    expect((await messages.accept(SHARD, both)).wake).toBe(true);
  });

  it('knows a client by any name from its own variables', async () => {
    const odd = ['woken', 'id', 'draining', '__index', '1'];
    for (const id of odd) await become('online', id);
    expect(await accept(...odd)).toBe(true);
    expect(clientsOf(await begin()).toSorted()).toEqual(odd.toSorted());
    expect(await redis.zcard(keys.expiry(SHARD))).toBe(odd.length);
  });

  it('for clients that are offline, and one that is refused, wake nobody', async () => {
    await become('offline', 'a');
    const { outcomes, wake } = await messages.accept(SHARD, [minted('a'), minted('nobody')]);
    expect([outcomes.map(({ kind }) => kind), wake]).toEqual([['accepted', 'building'], false]);
    expect(await redis.exists(keys.woken(SHARD), keys.waking(SHARD), keys.todo(SHARD))).toBe(0);
  });
});
