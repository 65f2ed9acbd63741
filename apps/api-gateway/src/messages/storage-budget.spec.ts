import { pino } from 'pino';
import { register } from 'prom-client';
import { MemoryWatch, connectRedis, closeRedis, type Redis } from '@app/platform';
import { RegistryKeys, SHARD_OUTBOX_BYTES } from '@app/registry';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { StorageBudget, type StorageLimits } from './storage-budget.js';

const SHARDS = 2;
const MAXMEMORY = 100_000_000;

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;
let logged: string[];
let memory: MemoryWatch | undefined;
let budget: StorageBudget;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`budget${keySpaces++}`);
  logged = [];
});

afterEach(async () => {
  await budget.stop();
  await redis.config('SET', 'maxmemory', '0');
});

/** Makes a budget that has read the memory of Redis. */
async function begin(limits: Partial<StorageLimits> = {}, over = redis): Promise<void> {
  memory?.stop();
  const mailboxes = Array.from({ length: SHARDS }, (_, shard) => keys.mailbox(shard));
  memory = new MemoryWatch(over, mailboxes, quiet);
  const logger = pino({ level: 'warn' }, { write: (line) => void logged.push(line) });
  register.removeSingleMetric('cloud_connector_storage_full');
  const none = { shardCount: SHARDS, highWater: { share: 0.85 }, shardBytes: undefined, accountBytes: undefined };
  budget = new StorageBudget(over, keys, memory, { ...none, ...limits }, logger);
  await memory.start();
}

async function holds(payer: string, ...bytes: number[]): Promise<void> {
  for (const [shard, one] of bytes.entries()) await redis.hset(keys.outboxBytes(shard), payer, one);
}

function refusalOf(payer: string): string | undefined {
  return budget.chargeOf(payer, 0).refuse;
}

describe('StorageBudget', () => {
  it('uses the settings, or computes the limit from the maxmemory of Redis, or has a fixed one without it', async () => {
    await begin();
    expect([budget.shardBytes, budget.accountBytes]).toEqual([SHARD_OUTBOX_BYTES, SHARD_OUTBOX_BYTES / 2]);
    await begin({ shardBytes: 1000 });
    expect([budget.shardBytes, budget.accountBytes]).toEqual([1000, 500]);
    await begin({ shardBytes: 1000, accountBytes: 7 });
    expect(budget.accountBytes).toBe(7);
    await redis.config('SET', 'maxmemory', MAXMEMORY);
    await begin();
    expect([budget.shardBytes, budget.accountBytes]).toEqual([0.2 * MAXMEMORY, 0.1 * MAXMEMORY]);
  });

  it('refuses messages of every payer while Redis is above the memory mark', async () => {
    await begin({ highWater: { bytes: 1_048_576 } });
    // An empty Redis uses less than this mark.
    await redis.set('foreign', 'x'.repeat(1_048_576));
    await begin({ highWater: { bytes: 1_048_576 } });
    expect(budget.chargeOf('key:1', 0)).toEqual({ payer: 'key:1', refuse: 'storage-full' });
    await redis.del('foreign');
  });
});

describe('StorageBudget', () => {
  it('refuses a payer while its last sum has reached its part of all shards', async () => {
    await begin({ accountBytes: 1000 });
    await holds('key:1', 600, 400);
    await holds('key:2', 600, 399);
    expect([refusalOf('key:1'), refusalOf('key:2')]).toEqual([undefined, undefined]);
    await budget.sum();
    expect([refusalOf('key:1'), refusalOf('key:2')]).toEqual(['account-full', undefined]);
    // It is added up again although it sends nothing more.
    await budget.sum();
    await holds('key:1', 600, 399);
    await budget.sum();
    expect(refusalOf('key:1')).toBeUndefined();
  });

  it('adds up thousands of payers', async () => {
    await begin({ accountBytes: 1000 });
    for (let i = 0; i < 1200; i++) budget.chargeOf(`key:${i}`, 0);
    await holds('key:1199', 1000);
    await budget.sum();
    expect([refusalOf('key:1199'), refusalOf('key:0')]).toEqual(['account-full', undefined]);
  });

  it('adds up a payer later if Redis is away, and does not fail', async () => {
    const away = connectRedis('redis://127.0.0.1:1', { name: 'away', whenAway: 'fail' }, quiet);
    await begin({ accountBytes: 1000 }, away);
    await budget.sum();
    expect(refusalOf('key:1')).toBeUndefined();
    await budget.sum();
    expect(refusalOf('key:1')).toBeUndefined();
    expect(logged).toEqual([]);
    await closeRedis(away);
  });

  it('logs and counts a sum that fails, and adds up the payer when the cause is gone', async () => {
    await begin({ accountBytes: 1000 });
    await holds('key:1', 400);
    await redis.set(keys.outboxBytes(1), 'no hash');
    refusalOf('key:1');
    await budget.sum();
    expect(logged.join('')).toContain('the bytes of accounts could not be added up');
    await redis.del(keys.outboxBytes(1));
    await holds('key:1', 400, 600);
    await budget.sum();
    expect(refusalOf('key:1')).toBe('account-full');
  });

  it('refuses a payer for the shards that can be read, and keeps refusing it while others cannot be read', async () => {
    await begin({ accountBytes: 1000 });
    await holds('key:before', 400, 600);
    await holds('key:now', 1000);
    refusalOf('key:before');
    await budget.sum();
    await redis.set(keys.outboxBytes(1), 'no hash');
    refusalOf('key:now');
    await budget.sum();
    expect([refusalOf('key:before'), refusalOf('key:now')]).toEqual(['account-full', 'account-full']);
  });
});
