import type { Redis } from '@app/platform';
import fc from 'fast-check';
import { withRedis } from '../../../../test/support/redis.js';
import { appendKeySpaceEvent } from './event.js';
import { eventStreams } from './event-log.js';
import { EventReader, positionAt, type ShardPosition } from './event-reader.js';
import { RegistryKeys } from '../keys.js';

let redis: Redis;
let keys: RegistryKeys;
let reader: EventReader;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`reader${keySpaces++}`);
  reader = new EventReader(redis, keys, 4096);
});

/** Adds an event with a given id. */
async function add(stream: 0 | 1 | 2, id: string): Promise<void> {
  const key = eventStreams(keys, 0)[stream].key;
  await redis.xadd(key, id, 'at', '1', 'event', `{"type":"x","n":"${id}"}`);
}

async function readAll(from: ShardPosition, bytes: number): Promise<string[]> {
  const ids: string[] = [];
  for (let position = from; ;) {
    const page = await reader.read(0, position, bytes);
    ids.push(...page.events.map(({ id }) => id));
    if (page.complete) return ids;
    position = page.next;
  }
}

describe('a reader of events', () => {
  it('merges the streams of a shard in the order of ids, for any page size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom<0 | 1 | 2>(0, 1, 2), { maxLength: 60 }),
        fc.integer({ min: 1, max: 900 }),
        async (order, bytes) => {
          keys = new RegistryKeys(`reader${keySpaces++}`);
          reader = new EventReader(redis, keys, 1);
          const from = await reader.end(0);
          const ids = order.map((_, i) => `${from.seenMs + 1 + Math.floor(i / 3)}-${i}`);
          for (const [i, stream] of order.entries()) await add(stream, ids[i] ?? '');
          if (ids.length > 0) await redis.hset(keys.log(0), 'last', ids.at(-1) ?? '');
          expect(await readAll(from, bytes)).toEqual(ids);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('reads both events of a message that was claimed when it was accepted, and continues after either of them', async () => {
    const from = await reader.end(0);
    const text = '{"type":"message.status","client_id":"c","message_id":"m","status":"queued"}';
    const [queued, inFlight] = [`${from.seenMs + 1}-7`, `${from.seenMs + 1}-8`];
    await redis.xadd(keys.events(0), inFlight, 'at', '5', 'event', text, 'account', 'acme', 'next', 'in_flight');
    await redis.hset(keys.log(0), 'last', inFlight);
    const { events } = await reader.read(0, from, 1000);
    const about = { stream: 0, at: 5, account: 'acme' };
    expect(events).toEqual([
      { ...about, id: queued, text },
      { ...about, id: inFlight, text: text.replace('queued', 'in_flight') },
    ]);
    const after = (id: string): Promise<string[]> => readAll({ ...from, after: from.after.with(0, id) }, 1000);
    expect([await after(queued), await after(inFlight)]).toEqual([[inFlight], []]);
  });

  it('reads a dead letter as an event without its sample and without an account', async () => {
    const from = await reader.end(0);
    const shown = { client_id: 'c', topic: 't', reason: 'wrong-shape', details: 'no type' };
    const id = `${from.seenMs + 1}-7`;
    await redis.xadd(keys.deadLetters(0), id, 'at', '5', 'letter', JSON.stringify({ ...shown, sample: 'secret' }));
    await redis.hset(keys.log(0), 'last', id);
    const { events } = await reader.read(0, from, 1000);
    expect(events).toEqual([{ id, stream: 3, at: 5, account: undefined, text: expect.any(String) as string }]);
    expect(JSON.parse(events[0]?.text ?? '')).toEqual({ type: 'dead_letter.added', ...shown });
  });

  it('repeats two seconds if it resumes at a time, and reports no gap if no event is missing', async () => {
    await appendKeySpaceEvent(redis, keys, { type: 'sweep.started', sweep: 's', trigger: 'start' });
    const { seenMs } = await reader.end(0);
    const page = await reader.read(0, positionAt(seenMs), 1000);
    expect(page).toMatchObject({ complete: true, gap: undefined });
    expect(page.events).toHaveLength(1);
    expect(page.upToMs).toBeGreaterThanOrEqual(seenMs);
  });

  it('reports a gap if the clock of a master is more than two seconds behind it, and continues from there', async () => {
    await appendKeySpaceEvent(redis, keys, { type: 'sweep.started', sweep: 's', trigger: 'start' });
    const { seenMs } = await reader.end(0);
    const page = await reader.read(0, positionAt(seenMs + 60_000), 1000);
    expect(page).toMatchObject({
      complete: false,
      gap: { shard: 0, streams: ['state', 'talk', 'refusals', 'dead-letters'] },
    });
    const next = await reader.read(0, page.next, 1000);
    expect(next.gap).toBeUndefined();
    expect(next.events).toHaveLength(1);
  });

  it('reports no gap if the clock of a master is a second behind it', async () => {
    const { seenMs } = await reader.end(0);
    expect((await reader.read(0, positionAt(seenMs + 1000), 1000)).gap).toBeUndefined();
  });

  it('reports a gap if Redis was restored to a state before the last event that it has read', async () => {
    const { seenMs } = await reader.end(0);
    await redis.hset(keys.log(0), 'since', '0-0', 'hole', `${seenMs - 60_000} ${seenMs + 1000}`);
    const page = await reader.read(0, positionAt(seenMs), 1000);
    expect(page.gap).toMatchObject({ from: seenMs - 60_000, until: seenMs + 1000 });
    expect((await reader.read(0, { ...page.next, seenMs: seenMs + 2000 }, 1000)).gap).toBeUndefined();
  });

  it('detects that Redis was restored before the shard has an owner again, and reports one gap', async () => {
    const end = await reader.end(0);
    // A position of the same millisecond would be as new as the restart.
    const from = { ...end, seenMs: end.seenMs - 1 };
    const uptime = Number(/uptime_in_seconds:(\d+)/.exec(await redis.info('server'))?.[1]);
    const old = from.seenMs - (uptime + 60) * 1000;
    await redis.hset(keys.log(0), 'last', `${old}-3`);
    const page = await reader.read(0, from, 1000);
    expect(page.gap).toMatchObject({ shard: 0, from: old, streams: ['state', 'talk', 'refusals', 'dead-letters'] });
    expect((await reader.read(0, page.next, 1000)).gap).toBeUndefined();
  });

  it('reports no gap if Redis restarted and kept all events that it has read', async () => {
    const { seenMs } = await reader.end(0);
    await redis.hset(keys.log(0), 'since', '0-0', 'hole', `${seenMs} ${seenMs + 60_000}`);
    expect((await reader.read(0, positionAt(seenMs), 1000)).gap).toBeUndefined();
  });
});
