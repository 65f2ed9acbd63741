import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { BrokerRuns, type BrokerRestart, type UptimeReport } from './broker-runs.js';
import { RegistryKeys } from '../keys.js';

/** Longer than any tolerance. */
const OUTAGE_S = 90;
const HOUR_MS = 3_600_000;

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;
let one: BrokerRuns;
let other: BrokerRuns;

withRedis((connection) => {
  redis = connection;
});

beforeEach(() => {
  keys = new RegistryKeys(`broker-runs${keySpaces++}`);
  one = new BrokerRuns(redis, keys);
  other = new BrokerRuns(redis, keys);
});

/** Sends a report about an uptime that was received just now. */
function report(
  from: BrokerRuns,
  seconds: number,
  run: UptimeReport['run'] = 'same',
): Promise<BrokerRestart | undefined> {
  return from.report({ seconds, run, at: performance.now() });
}

async function restartFrom(...[from, seconds, run]: Parameters<typeof report>): Promise<BrokerRestart> {
  const restart = await report(from, seconds, run);
  if (restart === undefined) throw new Error(`no restart was reported at an uptime of ${seconds} s`);
  return restart;
}

/** Simulates that this time has passed at Redis since the last report, or that its clock was set. */
async function advanceRedisClock(ms: number): Promise<void> {
  const since = Number(await redis.hget(keys.broker, 'since'));
  await redis.hset(keys.broker, 'since', since - ms);
}

/** A connection that calls `act` in place of the script of each report. */
function around(act: (run: () => Promise<unknown>) => Promise<unknown>): Redis {
  return new Proxy(redis, {
    get(target, name): unknown {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      if (name !== 'registry/report-broker-uptime') return member.bind(target) as unknown;
      return (...args: unknown[]) => act(() => member.apply(target, args) as Promise<unknown>);
    },
  });
}

async function stored(): Promise<{ uptime: number; run: string | undefined }> {
  const { uptime, run } = await redis.hgetall(keys.broker);
  return { uptime: Number(uptime), run };
}

describe('broker runs report no restart', () => {
  it('at the first report', async () => {
    expect(await report(one, 1000, 'unknown')).toBeUndefined();
  });

  it('while two ingesters in turn report the same run', async () => {
    for (const [i, from] of [one, other, one, other].entries()) {
      expect(await report(from, 1000, i < 2 ? 'unknown' : 'same')).toBeUndefined();
    }
  });

  it('if a report was delayed in the ingester', async () => {
    await report(one, 1000, 'unknown');
    expect(await other.report({ seconds: 960, run: 'unknown', at: performance.now() - 2500 })).toBeUndefined();
    expect(await other.report({ seconds: 10, run: 'new', at: performance.now() - 2500 })).toBeUndefined();
    expect((await stored()).uptime).toBe(1000);
  });

  it('if Redis stalled and ran a report late', async () => {
    await report(one, 10, 'unknown');
    // Redis answers the first command of the report and runs the second one later.
    const stalling = around(async (run) => {
      await redis.client('PAUSE', 400);
      return run();
    });
    const hurried = new BrokerRuns(stalling, keys, 150);
    expect(await report(hurried, 200, 'unknown')).toBeUndefined();
    expect((await stored()).uptime).toBe(10);
  });

  it('after an outage of Redis during which the broker kept running', async () => {
    await report(one, 1000, 'unknown');
    await advanceRedisClock(OUTAGE_S * 1000);
    expect(await report(one, 1000 + OUTAGE_S)).toBeUndefined();
    await advanceRedisClock(OUTAGE_S * 1000);
    expect(await report(other, 1000 + 2 * OUTAGE_S, 'unknown')).toBeUndefined();
  });

  it.each([HOUR_MS, -HOUR_MS])('if the clock of Redis was set by %i ms', async (ms) => {
    await report(one, 1000, 'unknown');
    await report(other, 1000, 'unknown');
    await advanceRedisClock(ms);
    expect(await report(one, 1010)).toBeUndefined();
    expect(await report(other, 1010)).toBeUndefined();
    // An ingester that starts after the jump reads a start of the run that fits the new clock.
    expect(await report(new BrokerRuns(redis, keys), 1010, 'unknown')).toBeUndefined();
  });

  it('if the clock of Redis was set back and an ingester has just started', async () => {
    await report(one, 1000, 'unknown');
    await advanceRedisClock(-HOUR_MS);
    expect(await report(other, 1010, 'unknown')).toBeUndefined();
  });

  it('if Redis was emptied', async () => {
    await report(one, 1000, 'unknown');
    await report(other, 1000, 'unknown');
    await redis.del(keys.broker);
    expect(await report(one, 1010)).toBeUndefined();
    expect(await report(other, 1010)).toBeUndefined();
    expect(await report(other, 1020)).toBeUndefined();
    expect((await stored()).uptime).toBe(1020);
  });

  it('if an older release has stored the last uptime', async () => {
    const since = Date.now() - 1_000_000;
    await redis.hset(keys.broker, { uptime: 1000, since });
    expect(await report(one, 1000, 'unknown')).toBeUndefined();
    expect((await stored()).run).toBeDefined();
  });

  it('for an old report of a run whose end another ingester has seen', async () => {
    await report(one, 1000, 'unknown');
    await report(other, 1000, 'unknown');
    await report(one, 15, 'new');
    const { run } = await stored();
    expect(await report(other, 1010)).toBeUndefined();
    expect(await stored()).toEqual({ uptime: 15, run });
  });
});

describe('a restart of the broker', () => {
  it('is reported once, to the first ingester that has seen it', async () => {
    await report(one, 1000, 'unknown');
    await report(other, 1000, 'unknown');
    const before = Date.now();
    const restart = await restartFrom(one, 15, 'new');
    expect(restart).toMatchObject({ run: (await stored()).run });
    // Times are whole milliseconds.
    expect(restart.since).toBeGreaterThanOrEqual(before - 15_001);
    expect(restart.since).toBeLessThanOrEqual(Date.now() - 14_999);
    expect(await report(other, 15, 'new')).toBeUndefined();
    await one.closeRestart(restart);
    for (const from of [one, other]) expect(await report(from, 25)).toBeUndefined();
  });

  it('is reported if all ingesters were frozen until the uptime exceeded the old one', async () => {
    await report(one, 20, 'unknown');
    await report(other, 20, 'unknown');
    await advanceRedisClock(600_000);
    expect(await report(other, 300, 'new')).toBeDefined();
    expect(await report(one, 300, 'new')).toBeUndefined();
  });

  it('is reported if an ingester saw the end of the run, even if the clock of Redis was set back', async () => {
    await report(one, 20, 'unknown');
    await advanceRedisClock(-HOUR_MS);
    expect(await report(one, 30, 'new')).toBeDefined();
  });

  it('is reported to an ingester that has just started if the uptime has fallen', async () => {
    await report(one, 1000, 'unknown');
    expect(await report(other, 15, 'unknown')).toBeDefined();
  });

  it('is reported to an ingester that has just started if the uptime has fallen and the clock was set back', async () => {
    await report(one, 1000, 'unknown');
    await advanceRedisClock(-HOUR_MS);
    expect(await report(other, 15, 'unknown')).toBeDefined();
  });

  it('is reported once, even if the clock of Redis is set between two reports', async () => {
    await report(one, 1000, 'unknown');
    await report(other, 1000, 'unknown');
    const restart = await restartFrom(one, 15, 'new');
    await one.closeRestart(restart);
    await advanceRedisClock(HOUR_MS);
    expect(await report(other, 25, 'new')).toBeUndefined();
  });

  it('is reported to an ingester that has just started if the uptime exceeds the old one again', async () => {
    await redis.hset(keys.broker, { uptime: 20, since: Date.now() - 600_000 });
    expect(await report(one, 300, 'unknown')).toBeDefined();
  });

  it('is reported even if Redis was away when an ingester saw it', async () => {
    await report(one, 1000, 'unknown');
    const at = performance.now() - 3000;
    expect(await one.report({ seconds: 15, run: 'new', at })).toBeUndefined();
    await advanceRedisClock(OUTAGE_S * 1000);
    expect(await report(one, 15 + OUTAGE_S)).toBeDefined();
  });

  it('stays open until an ingester has acted on it, and is not repeated for reports of the same uptime', async () => {
    await report(one, 1000, 'unknown');
    await report(other, 1000, 'unknown');
    expect(await report(one, 15, 'new')).toBeDefined();
    expect(await report(other, 15, 'new')).toBeUndefined();
    const again = await restartFrom(other, 25);
    await other.closeRestart(again);
    expect(await report(one, 35)).toBeUndefined();
  });

  it('is reported if the reply to the first report was lost', async () => {
    let isLost = false;
    const losing = around(async (run) => {
      const reply = await run();
      if (isLost) throw new Error('no reply in time');
      return reply;
    });
    const unlucky = new BrokerRuns(losing, keys);
    await report(unlucky, 1000, 'unknown');
    isLost = true;
    await expect(report(unlucky, 15, 'new')).rejects.toThrow('no reply in time');
    isLost = false;
    expect(await report(unlucky, 25)).toBeDefined();
  });
});
