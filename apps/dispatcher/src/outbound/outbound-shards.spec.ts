import { jest } from '@jest/globals';
import { register } from 'prom-client';
import type { Redis } from '@app/platform';
import { OutboundWork, SendingTimes, RegistryKeys } from '@app/registry';
import { LeaseTiming, Leases, Members, listMembersOf, type DispatcherAnnouncement } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { storeMessage, storedMessage } from '../../../../test/support/stored-message.js';
import { eventually, gate, quiet, type Gate } from '../../../../test/support/servers.js';
import { OutboundShards } from './outbound-shards.js';
import { Semaphore } from './semaphore.js';

const SHARDS = 8;
/** Long enough that no lease is lost on a slow machine. */
const TIMING = new LeaseTiming(20_000, 700);

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;
let dispatchers: Dispatcher[];

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`shards${keySpaces++}`);
  dispatchers = [];
});

afterEach(async () => {
  await Promise.all(dispatchers.map(({ shards }) => shards.stop()));
});

/** The outbound side of a dispatcher that publishes nothing: what it has claimed stays in flight. */
interface Dispatcher {
  shards: OutboundShards;
  isConnected: boolean;
  woken: number[];
  sendingTimes: SendingTimes;
}

function dispatcher(
  bootId: string,
  work = new OutboundWork(redis, keys),
  looksAt = keys,
  members = new Members<DispatcherAnnouncement>(redis, keys.dispatchers, `spec/${bootId}`, 3000),
  isStarted = true,
): Dispatcher {
  const one: Omit<Dispatcher, 'shards'> = {
    isConnected: true,
    woken: [],
    sendingTimes: new SendingTimes(redis, keys),
  };
  const shards = new OutboundShards({
    dependencies: {
      work,
      publishing: { publish: (_message, _shard, _times, signal) => untilAborted(signal) },
      semaphore: new Semaphore(100),
      isConnected: () => one.isConnected,
      logger: quiet,
    },
    redis,
    keys: looksAt,
    shardCount: SHARDS,
    leases: new Leases(redis, keys, bootId, TIMING.leaseMs),
    members,
    name: 'spec',
    timing: TIMING,
    wakeUps: {
      wake: (shards) => {
        one.woken.push(...shards);
        return Promise.resolve();
      },
    },
    sendingTimes: one.sendingTimes,
    logger: quiet,
  });
  const started = Object.assign(one, { shards });
  dispatchers.push(started);
  if (isStarted) shards.start();
  return started;
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }));
}

/** Leaves a connection with a message that waits on each shard. */
async function leaveWork(): Promise<void> {
  for (let shard = 0; shard < SHARDS; shard++) await makeReady(shard);
}

async function makeReady(shard: number): Promise<void> {
  const id = `client-of-${shard}`;
  await redis.zadd(keys.online(shard, 'host'), 0, id);
  await redis.rpush(keys.outbox(shard, id), `message-${shard}`);
  await storeMessage(redis, keys.message(shard, `message-${shard}`), { client: id, directive: 'd', request: 'r' });
  await redis.zadd(keys.ready(shard), 1, id);
}

async function owners(): Promise<(string | undefined)[]> {
  const fences = await Promise.all(
    Array.from({ length: SHARDS }, (_, index) => redis.get(keys.owner({ kind: 'outbound', index }))),
  );
  return fences.map((fence) => fence?.split(':')[1]);
}

async function countOf(bootId: string): Promise<number> {
  return (await owners()).filter((owner) => owner === bootId).length;
}

/** Redis releases a lease, and the reply waits until `released` is opened. */
function slowlyPassivated(): { slow: OutboundWork; released: Gate; isReleased: () => boolean } {
  const work = new OutboundWork(redis, keys);
  const released: Gate = gate();
  let isReleased = false;
  const slow = Object.assign(Object.create(work) as OutboundWork, {
    release: async (...args: Parameters<OutboundWork['release']>) => {
      const reply = await work.release(...args);
      if (reply !== 'busy') {
        isReleased = true;
        await released.passed;
      }
      return reply;
    },
  });
  return { slow, released, isReleased: () => isReleased };
}

describe('a dispatcher', () => {
  it('takes the shards that have work and no owner by itself, and no others', async () => {
    await makeReady(3);
    dispatcher('a');
    await eventually('the shard has an owner', async () => expect(await countOf('a')).toBe(1));
    expect((await owners())[3]).toBe('a');
    await makeReady(5);
    await eventually('the other shard has one too', async () => expect((await owners())[5]).toBe('a'));
  });

  it('shares shards that are always busy with others evenly, and gets all of them when the others have gone', async () => {
    await leaveWork();
    dispatcher('a');
    await eventually('the first one has all shards', async () => expect(await countOf('a')).toBe(SHARDS));
    const second = dispatcher('b');
    await eventually('each has half of them', async () =>
      expect([await countOf('a'), await countOf('b')]).toEqual([SHARDS / 2, SHARDS / 2]),
    );
    await second.shards.stop();
    await eventually('the first one has all shards again', async () => expect(await countOf('a')).toBe(SHARDS));
  });

  it('looks again as soon as another dispatcher would count as gone, since its share is free then', async () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const members = new Members<DispatcherAnnouncement>(redis, keys.dispatchers, 'spec/a', 3000);
    jest.spyOn(members, 'heartbeat').mockResolvedValue({ members: undefined, nextOverdueMs: 321 });
    dispatcher('a', undefined, undefined, members);
    await eventually('the next look is due then', () =>
      expect(timers.mock.calls).toContainEqual([expect.any(Function), 322]),
    );
    jest.restoreAllMocks();
  });

  it('finds the shards that have work although its statistics cannot be written', async () => {
    await makeReady(3);
    await redis.set(keys.sendingTimes, 'not a hash');
    const warned = jest.spyOn(quiet, 'warn');
    const { shards, sendingTimes } = dispatcher('a');
    sendingTimes.observe(5);
    await eventually('the statistics have failed', () =>
      expect(warned).toHaveBeenCalledWith({ err: expect.any(Error) as Error }, expect.stringContaining('statistics')),
    );
    await eventually('the shard has an owner', async () => expect((await owners())[3]).toBe('a'));
    expect(shards.running).toBe(true);
    jest.restoreAllMocks();
  });

  it('holds no shard without a connection to the broker, so that others take them', async () => {
    await leaveWork();
    const first = dispatcher('a');
    await eventually('the first one has all shards', async () => expect(await countOf('a')).toBe(SHARDS));
    first.isConnected = false;
    first.shards.disconnected();
    await eventually('nobody has a shard', async () => expect(await countOf('a')).toBe(0));
    for (let shard = 0; shard < SHARDS; shard++) {
      expect(await storedMessage(redis, keys.message(shard, `message-${shard}`))).toMatchObject({ status: 'queued' });
    }
    await eventually('it says why', async () => {
      const announced = await listMembersOf<DispatcherAnnouncement>(redis, keys.dispatchers);
      expect(announced).toMatchObject([{ takes_shards: false, reason: 'broker-unreachable' }]);
    });
    expect(first.woken.toSorted()).toEqual(Array.from({ length: SHARDS }, (_, shard) => shard));
    dispatcher('b');
    await eventually('the second one has all shards', async () => expect(await countOf('b')).toBe(SHARDS));
    first.isConnected = true;
    first.shards.connected();
    await eventually('each has half of them', async () => expect(await countOf('a')).toBe(SHARDS / 2));
  });

  it('measures what waits without a connection to the broker too, and has no sample while Redis does not answer', async () => {
    const sample = async (name: string): Promise<number | undefined> =>
      (await register.getSingleMetric(`cloud_connector_outbound_${name}`)?.get())?.values[0]?.value;
    const measured = (): Promise<(number | undefined)[]> =>
      Promise.all([sample('connections_ready'), sample('oldest_ready_age_seconds')]);
    const members = new Members<DispatcherAnnouncement>(redis, keys.dispatchers, 'spec/a', 3000);
    const one = dispatcher('a', undefined, undefined, members, false);
    expect(await measured()).toEqual([undefined, undefined]);
    one.isConnected = false;
    await leaveWork();
    one.shards.start();
    await eventually('all are counted', async () => expect(await measured()).toEqual([SHARDS, expect.any(Number)]));
    expect((await measured())[1]).toBeGreaterThan(0);
    expect(await countOf('a')).toBe(0);
    jest.spyOn(members, 'heartbeat').mockRejectedValue(new Error('Redis is away'));
    await eventually('nothing is known', async () => expect(await measured()).toEqual([undefined, undefined]));
    jest.restoreAllMocks();
    await eventually('all are counted', async () => expect((await measured())[0]).toBe(SHARDS));
  });

  it('asks Redis for nothing before it is started, although the connection to the broker is there', () => {
    const one = dispatcher('a', undefined, keys, undefined, false);
    const heartbeat = jest.spyOn(Members.prototype, 'heartbeat');
    jest.useFakeTimers({ doNotFake: ['performance'] });
    one.shards.connected();
    jest.runOnlyPendingTimers();
    jest.useRealTimers();
    expect(heartbeat).not.toHaveBeenCalled();
    jest.restoreAllMocks();
  });

  it('does not activate a shard again for wake-ups that came while it was active', async () => {
    const acquired = jest.spyOn(Leases.prototype, 'acquire');
    const released = jest.spyOn(quiet, 'info');
    // It does not find the shard by itself.
    const one = dispatcher('a', undefined, new RegistryKeys('elsewhere'));
    for (let i = 0; i < 3; i++) expect(await one.shards.activate(2)).toBe('active');
    await eventually('the idle shard is given back', () =>
      expect(released).toHaveBeenCalledWith(expect.objectContaining({ outbound: 2 }), 'released'),
    );
    expect(acquired).toHaveBeenCalledTimes(1);
    jest.restoreAllMocks();
  });

  it('activates a shard again that is asked for while the reply to its passivation is under way', async () => {
    const { slow, released, isReleased } = slowlyPassivated();
    // It does not find the shard by itself.
    const one = dispatcher('a', slow, new RegistryKeys('elsewhere'));
    expect(await one.shards.activate(2)).toBe('active');
    await eventually('the idle shard is given back', () => expect(isReleased()).toBe(true));
    await makeReady(2);
    expect(await one.shards.activate(2)).toBe('active');
    released.open();
    await eventually('the message is claimed', async () =>
      expect(await storedMessage(redis, keys.message(2, 'message-2'))).toMatchObject({ status: 'in_flight' }),
    );
  });

  it('does not take a lease for lost that it has given back, although a renewal finds it gone before the reply', async () => {
    const logged = [jest.spyOn(quiet, 'warn'), jest.spyOn(quiet, 'info')] as const;
    const renewed = jest.spyOn(Leases.prototype, 'renew');
    const { slow, released, isReleased } = slowlyPassivated();
    const one = dispatcher('a', slow, new RegistryKeys('elsewhere'));
    expect(await one.shards.activate(2)).toBe('active');
    await eventually('the idle shard is given back', () => expect(isReleased()).toBe(true));
    const before = renewed.mock.calls.length;
    await eventually('a renewal finds nobody', async () => {
      const after = renewed.mock.results.slice(before).flatMap(({ value }) => value as ReturnType<Leases['renew']>);
      expect(await Promise.all(after)).toContain('nobody');
    });
    released.open();
    await eventually('the shard is given back', () =>
      expect(logged[1]).toHaveBeenCalledWith(expect.objectContaining({ outbound: 2 }), 'released'),
    );
    expect(logged[0]).not.toHaveBeenCalledWith(expect.objectContaining({ outbound: 2 }), 'lost');
    jest.restoreAllMocks();
  });
});
