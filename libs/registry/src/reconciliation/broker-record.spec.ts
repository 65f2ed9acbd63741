import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { RegistryKeys } from '../keys.js';
import { BrokerRecords, type CheckRecord } from './broker-record.js';

const CHECK: CheckRecord = {
  checked_at: '2026-11-29T10:00:00.000Z',
  session_expiry_seconds: 1_209_600,
  receive_maximum: 512,
  maximum_packet_size: null,
  maximum_qos: 2,
  retain_available: true,
  shared_subscriptions: true,
  wildcard_subscriptions: true,
  server_keep_alive_seconds: null,
  no_subscriber_signal: false,
  absence_provable: null,
};
const QUEUE = { limit: 512, measuredAt: '2026-11-29T10:01:00.000Z', brokerRun: 'run' };

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;
let records: BrokerRecords;

withRedis((connection) => {
  redis = connection;
});

beforeEach(() => {
  keys = new RegistryKeys(`broker-records${keySpaces++}`);
  records = new BrokerRecords(redis, keys);
});

describe('BrokerRecords', () => {
  it('has no record before the first check, also if the queue was measured', async () => {
    expect(await records.read()).toBeUndefined();
    await records.saveQueue(QUEUE);
    expect(await records.read()).toBeUndefined();
    expect(await records.readQueue()).toEqual(QUEUE);
  });

  it('returns the last check, with the queue as not measured', async () => {
    await records.save({ ...CHECK, receive_maximum: 10 });
    await records.save(CHECK);
    expect(await records.read()).toEqual({ ...CHECK, queue_limit: null, queue_measured_at: null });
    expect(await records.readQueue()).toBeUndefined();
  });

  it('keeps the measured queue when another check is saved, and the check when the queue is measured', async () => {
    await records.save(CHECK);
    await records.saveQueue(QUEUE);
    await records.save({ ...CHECK, receive_maximum: 10 });
    expect(await records.read()).toEqual({
      ...CHECK,
      receive_maximum: 10,
      queue_limit: 512,
      queue_measured_at: QUEUE.measuredAt,
    });
    await records.saveQueue({ ...QUEUE, limit: null });
    expect(await records.read()).toMatchObject({ queue_limit: null, queue_measured_at: QUEUE.measuredAt });
  });

  it('writes one key, also on a full Redis', async () => {
    const [, memory] = (await redis.config('GET', 'maxmemory')) as [string, string];
    await redis.config('SET', 'maxmemory', '1');
    try {
      await records.save(CHECK);
      await records.saveQueue(QUEUE);
    } finally {
      await redis.config('SET', 'maxmemory', memory);
    }
    expect(await redis.keys(`${keys.prefix}:*`)).toEqual([keys.brokerCheck]);
  });

  it('names the run of the broker that ingesters have reported', async () => {
    expect(await records.brokerRun()).toBeNull();
    await redis.hset(keys.broker, 'run', '');
    expect(await records.brokerRun()).toBeNull();
    await redis.hset(keys.broker, 'run', 'a');
    expect(await records.brokerRun()).toBe('a');
  });
});
