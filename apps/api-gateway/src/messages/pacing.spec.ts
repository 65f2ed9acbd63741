import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { LONGEST_PACE_MS, Pacing, paceMs } from './pacing.js';

describe('paceMs', () => {
  it('lets no response wait for a few messages in flight, and the others the longer the more there are', () => {
    expect([0, 1, 8].map((inFlight) => paceMs(inFlight, 32))).toEqual([0, 0, 0]);
    const times = Array.from({ length: 8 }, (_, i) => paceMs(i + 8, 32));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(new Set(times).size).toBe(times.length);
  });

  it('is never more than the longest time', () => {
    for (const shards of [1, 32, 4096]) expect(paceMs(1_000_000, shards)).toBe(LONGEST_PACE_MS);
  });

  it('allows more messages in flight in a shard the fewer shards there are', () => {
    expect([1, 16, 128].map((shards) => paceMs(20, shards))).toEqual([0, 6, 100]);
  });
});

describe('Pacing', () => {
  /** Stands for a response; only its end is observed. */
  function response(): ServerResponse {
    return Object.assign(new EventEmitter(), { destroyed: false }) as unknown as ServerResponse;
  }

  /** Begins to pace a response for as long as possible. @returns what has been sent */
  function pace(pacing: Pacing, ...responses: ServerResponse[]): ServerResponse[] {
    const sent: ServerResponse[] = [];
    for (const one of responses) pacing.pace(1_000_000, one, () => sent.push(one));
    return sent;
  }

  it('sends a response later, once', async () => {
    const pacing = new Pacing(32, 100);
    const one = response();
    await new Promise<void>((resolve) => {
      pacing.pace(1_000_000, one, resolve);
      expect(pacing.size).toBe(1);
    });
    expect(pacing.size).toBe(0);
    expect(one.listenerCount('close')).toBe(0);
  });

  it('sends a response at once if few messages are in flight, or its caller has left', () => {
    const pacing = new Pacing(32, 100);
    let sent = 0;
    pacing.pace(1, response(), () => sent++);
    pacing.pace(1_000_000, Object.assign(response(), { destroyed: true }), () => sent++);
    expect([sent, pacing.size]).toEqual([2, 0]);
  });

  it('lets a quarter of the connections wait, and sends all other responses at once', () => {
    const pacing = new Pacing(32, 8);
    const responses = Array.from({ length: 3 }, response);
    expect(pace(pacing, ...responses)).toEqual(responses.slice(2));
    expect(pacing.size).toBe(2);
    pacing.stop();
  });

  it('frees the place of a caller who leaves', () => {
    const pacing = new Pacing(32, 4);
    const [first, second] = [response(), response()];
    pace(pacing, first);
    first.emit('close');
    expect(pacing.size).toBe(0);
    expect(pace(pacing, second)).toEqual([]);
    pacing.stop();
  });

  it('sends all responses when the gateway stops, and lets none wait from then on', () => {
    const pacing = new Pacing(32, 100);
    const responses = [response(), response()];
    const sent = pace(pacing, ...responses);
    pacing.stop();
    expect(sent).toEqual(responses);
    const late = response();
    expect(pace(pacing, late)).toEqual([late]);
  });
});
