import { sentinelRemedy, type IntakePacket, type PublishOutcome } from '@app/broker';
import { connectRedis, createLogger, type Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { eventually, gate, quiet, startRedis, type Server } from '../../../../test/support/servers.js';
import { LaneMarkers } from '../intake/lane-markers.js';
import { LaneBarrier, type BarrierDependencies } from './lane-barrier.js';

const TOPIC = 'spec/sentinel';
let server: Server;
let redis: Redis;
let keys: RegistryKeys;
let markers: LaneMarkers;
/** Markers that were published and have not come through the lane. */
let inLane: IntakePacket[];
let keySpaces = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});
beforeEach(() => {
  keys = new RegistryKeys(`barrier${keySpaces++}`);
  markers = new LaneMarkers(redis, keys, TOPIC, quiet);
  inLane = [];
});

function barrier(overrides: Partial<BarrierDependencies> = {}): LaneBarrier {
  const publish = (topic: string, text: string): Promise<{ kind: 'acknowledged' }> => {
    inLane.push({ topic, payload: Buffer.from(text), retain: false, dup: false } as IntakePacket);
    return Promise.resolve({ kind: 'acknowledged' });
  };
  const ownsLane = (): boolean => true;
  return new LaneBarrier({
    ...{ publisher: { publish }, markers, ownsLane, topic: TOPIC, lanes: 1, logger: quiet },
    ...overrides,
  });
}

/** Markers of this process, with a Redis that records how often it is asked for one. */
function watchedMarkers(looks: string[]): LaneMarkers {
  const watched = new Proxy(redis, {
    get: (target, property) => {
      if (property === 'exists') looks.push('exists');
      const value: unknown = Reflect.get(target, property);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return new LaneMarkers(watched, keys, TOPIC, quiet);
}

it('the barrier is passed once the marker has come through the lane', async () => {
  const passed = gate();
  const pass = barrier()
    .pass(new AbortController().signal)
    .then(() => passed.open());
  await eventually('a marker is published', () => expect(inLane).toHaveLength(1));
  expect(await Promise.race([passed.passed, redis.ping()])).toBe('PONG');
  await markers.note(inLane);
  await pass;
});

it('the barrier asks Redis for nothing while this process owns the lane', async () => {
  const looks: string[] = [];
  const own = watchedMarkers(looks);
  const pass = barrier({ markers: own }).pass(new AbortController().signal);
  await eventually('a marker is published', () => expect(inLane).toHaveLength(1));
  await own.note(inLane);
  await pass;
  expect(looks).toEqual([]);
});

it('the barrier is passed by a marker that another process received', async () => {
  const pass = barrier({ ownsLane: () => false }).pass(new AbortController().signal);
  await eventually('a marker is published', () => expect(inLane).toHaveLength(1));
  await new LaneMarkers(redis, keys, TOPIC, quiet).note(inLane);
  await pass;
  expect(inLane).toHaveLength(1);
});

it('the barrier is passed by a marker that the former owner of the lane received', async () => {
  const pass = barrier().pass(new AbortController().signal);
  await eventually('a marker is published', () => expect(inLane).toHaveLength(1));
  await new LaneMarkers(redis, keys, TOPIC, quiet).note(inLane);
  await pass;
});

it('the barrier publishes another marker if one was lost', async () => {
  const pass = barrier().pass(new AbortController().signal);
  await eventually('another marker is published', () => expect(inLane).toHaveLength(2));
  await markers.note(inLane.slice(1));
  await pass;
});

it('the barrier publishes no second marker while the broker has not acknowledged the first', async () => {
  let published = 0;
  const publish = (): Promise<never> => {
    published++;
    return new Promise(() => undefined);
  };
  const looks: string[] = [];
  const stalled = barrier({ publisher: { publish }, markers: watchedMarkers(looks), ownsLane: () => false });
  const caller = new AbortController();
  const passing = stalled.pass(caller.signal);
  // So many reads take longer than the time after which another marker would follow.
  await eventually('Redis has been asked often for the marker', () => expect(looks.length).toBeGreaterThan(40));
  expect(published).toBe(1);
  caller.abort();
  await expect(passing).rejects.toThrow('aborted');
});

it('callers that ask while another waits share one marker', async () => {
  const one = barrier();
  const { signal } = new AbortController();
  const first = one.pass(signal);
  await eventually('a marker is published', () => expect(inLane).toHaveLength(1));
  const later = [one.pass(signal), one.pass(signal), one.pass(signal)];
  await markers.note(inLane.splice(0));
  await first;
  await eventually('a marker is published', () => expect(inLane).toHaveLength(1));
  await markers.note(inLane);
  await Promise.all(later);
  expect(inLane).toHaveLength(1);
});

it('the barrier warns once if the broker refuses its markers, and names the topic and the right', async () => {
  const warnings: unknown[] = [];
  const logger = createLogger('spec', 'warn', { write: (text) => void warnings.push(JSON.parse(text)) });
  let published = 0;
  const publish = (): Promise<PublishOutcome> => {
    published++;
    return Promise.resolve({ kind: 'refused', permanent: true, details: 'Not authorized' });
  };
  const one = barrier({ publisher: { publish }, logger });
  for (const count of [1, 2]) {
    const caller = new AbortController();
    const pass = one.pass(caller.signal);
    await eventually('a marker is published', () => expect(published).toBe(count));
    caller.abort();
    await expect(pass).rejects.toThrow('aborted');
  }
  expect(warnings).toMatchObject([{ topic: TOPIC, message: expect.stringContaining(sentinelRemedy(TOPIC)) as string }]);
});

it('the barrier does not wait if there are several lanes', async () => {
  await barrier({ lanes: 2 }).pass(new AbortController().signal);
  expect(inLane).toEqual([]);
});

it('the barrier stops waiting when its caller ends', async () => {
  const stopping = new AbortController();
  const pass = barrier().pass(stopping.signal);
  stopping.abort(new Error('it stops'));
  await expect(pass).rejects.toThrow('it stops');
});

it('the barrier gives up its marker with the last of its callers, and publishes another for the next caller', async () => {
  const published: AbortSignal[] = [];
  const publish = (topic: string, text: string, { signal }: { signal: AbortSignal }): Promise<never> => {
    published.push(signal);
    inLane.push({ topic, payload: Buffer.from(text), retain: false, dup: false } as IntakePacket);
    return new Promise(() => undefined);
  };
  const one = barrier({ publisher: { publish } });
  const callers = [new AbortController(), new AbortController()];
  const passes = callers.map(({ signal }) => one.pass(signal));
  await eventually('a marker is published', () => expect(published).toHaveLength(1));
  callers[0]?.abort();
  await expect(passes[0]).rejects.toThrow('aborted');
  expect(published[0]?.aborted).toBe(false);
  callers[1]?.abort();
  await expect(passes[1]).rejects.toThrow('aborted');
  expect(published[0]?.aborted).toBe(true);
  const later = one.pass(new AbortController().signal);
  await eventually('another marker is published', () => expect(inLane).toHaveLength(2));
  await markers.note(inLane.slice(1));
  await later;
});
