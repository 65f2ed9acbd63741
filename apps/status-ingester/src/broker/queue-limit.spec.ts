import type { Redis } from '@app/platform';
import { BrokerRecords, RegistryKeys } from '@app/registry';
import type { Grant } from '@app/sharding';
import { pino, type Logger } from 'pino';
import { register } from 'prom-client';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import { QueueLimit, isDue, type QueueLimitDependencies } from './queue-limit.js';

const NOW = Date.parse('2026-11-29T10:00:00.000Z');
const HOUR_MS = 3_600_000;
const OWNER = { grants: () => [{ kind: 'shard', index: 0, epoch: 1 } as Grant] };
const OTHER = { grants: () => [{ kind: 'shard', index: 1, epoch: 1 } as Grant, { kind: 'lane', index: 0 } as Grant] };

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;
let records: BrokerRecords;
let lines: { level: number; queue_limit?: number | null; msg: string }[];
let logger: Logger;
let running: QueueLimit[];

withRedis((connection) => {
  redis = connection;
});

beforeEach(() => {
  keys = new RegistryKeys(`queue-limit${keySpaces++}`);
  records = new BrokerRecords(redis, keys);
  lines = [];
  logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) });
  running = [];
});

afterEach(() => Promise.all(running.map((each) => each.stop())));

/** Starts one that measures at once. */
function start(given: Partial<QueueLimitDependencies>, firstMs = 0): QueueLimit {
  const measure = (): Promise<number | null> => Promise.reject(new Error('it must not be measured'));
  const started = new QueueLimit(
    { records, ownership: OWNER, measure, logger, ...given },
    { firstMs, everyMs: HOUR_MS },
  );
  running.push(started);
  started.start();
  return started;
}

async function exposed(): Promise<string | undefined> {
  return /^cloud_connector_broker_queue_limit (\S+)$/m.exec(await register.metrics())?.[1];
}

function warnings(): typeof lines {
  return lines.filter(({ level }) => level === 40);
}

describe('QueueLimit', () => {
  it('measures a queue, keeps the limit with the run of the broker, and warns once', async () => {
    await redis.hset(keys.broker, 'run', 'run');
    start({ measure: () => Promise.resolve(1000) });
    await eventually('the warning', () => expect(warnings()).toHaveLength(1));
    expect(await records.readQueue()).toMatchObject({ limit: 1000, brokerRun: 'run' });
    expect(await exposed()).toBe('1000');
    expect(warnings()).toMatchObject([
      { queue_limit: 1000, msg: expect.stringContaining('max_queued_messages') as string },
    ]);
  });

  it('warns of nothing, and exposes no limit, if none was found', async () => {
    start({ measure: () => Promise.resolve(null) });
    await eventually('the measurement', async () => expect(await records.readQueue()).toMatchObject({ limit: null }));
    await running[0]?.stop();
    expect([await exposed(), warnings()]).toEqual([undefined, []]);
  });

  it('does not measure again within a day, but warns of the limit that is known', async () => {
    await records.saveQueue({ limit: 512, measuredAt: new Date().toISOString(), brokerRun: null });
    start({});
    await eventually('the warning', () => expect(warnings()).toMatchObject([{ queue_limit: 512 }]));
    expect(await exposed()).toBe('512');
    expect(lines).toHaveLength(1);
  });

  it('shows a limit that is known, and warns of it, before anything may be measured or owned', async () => {
    const measuredAt = new Date(0).toISOString();
    await records.saveQueue({ limit: 1000, measuredAt, brokerRun: null });
    start({ ownership: { grants: () => [] } }, HOUR_MS);
    await eventually('the warning', () =>
      expect(lines).toMatchObject([{ level: 40, queue_limit: 1000, measured_at: measuredAt }]),
    );
    expect(await exposed()).toBe('1000');
  });

  it('leaves the measurement to the owner of shard 0, and shows what was found', async () => {
    await records.saveQueue({ limit: 7, measuredAt: new Date(0).toISOString(), brokerRun: null });
    const asked = gate();
    const grants = (): Grant[] => {
      asked.open();
      return OTHER.grants();
    };
    start({ ownership: { grants } });
    await asked.passed;
    await running[0]?.stop();
    expect(await exposed()).toBe('7');
    expect(lines).toMatchObject([{ level: 40, queue_limit: 7 }]);
  });

  it('continues after a measurement that failed, and keeps nothing of it', async () => {
    start({ measure: () => Promise.reject(new Error('not allowed')) });
    await eventually('the log line', () =>
      expect(lines).toMatchObject([{ level: 30, err: { message: 'not allowed' } }]),
    );
    expect(await records.readQueue()).toBeUndefined();
  });

  it('a stop waits until a measurement that it aborts has cleaned up', async () => {
    const begun = gate();
    const cleaning = gate();
    let isClean = false;
    const measure = async (signal: AbortSignal): Promise<number | null> => {
      begun.open();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await cleaning.passed;
      isClean = true;
      throw new Error('aborted');
    };
    const started = start({ measure });
    await begun.passed;
    const stopped = started.stop();
    cleaning.open();
    await stopped;
    expect([isClean, lines]).toEqual([true, []]);
  });
});

describe('isDue', () => {
  const last = { limit: 1, measuredAt: new Date(NOW).toISOString(), brokerRun: 'a' };

  it.each([
    ['if it was never measured', undefined, 'a', 0, true],
    ['an hour later', last, 'a', 1, false],
    ['a day later', last, 'a', 24, true],
    ['an hour later, in another run of the broker', last, 'b', 1, true],
    ['an hour later, if the present run is not known', last, null, 1, false],
    ['an hour later, if the run of then is not known', { ...last, brokerRun: null }, 'b', 1, false],
    ['if it was measured by a clock that is a day ahead', last, 'a', -24, true],
    ['if the time is not readable', { ...last, measuredAt: 'yesterday' }, 'a', 0, true],
  ])('%s', (_, measured, run, hours, expected) => {
    expect(isDue(measured, run, NOW + hours * HOUR_MS)).toBe(expected);
  });
});
