import { RegistryKeys } from '@app/registry';
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { Api } from '../../../../test/support/api.js';
import { GatewayApp } from '../../../../test/support/gateway-app.js';
import { withRedis } from '../../../../test/support/redis.js';

const SHARDS = 4;
const CLIENT = 'device';
let redis: Redis;
let url: string;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

it.each([
  ['90s', 90_000],
  ['30d', 30 * 86_400_000],
])('the gateway keeps an Idempotency-Key in Redis for IDEMPOTENCY_RETENTION=%s', async (IDEMPOTENCY_RETENTION, ms) => {
  const KEY_PREFIX = `kept-${ms}`;
  const keys = new RegistryKeys(KEY_PREFIX);
  const shard = shardOf(CLIENT, SHARDS);
  await redis.hset(keys.connections(shard), CLIENT, '{}');
  await redis.zadd(keys.offline(shard, 'host', 'goodbye'), 0, CLIENT);
  const env = { REDIS_URL: url, SHARD_COUNT: `${SHARDS}`, KEY_PREFIX, IDEMPOTENCY_RETENTION };
  const gateway = await GatewayApp.listen(env);
  try {
    const { status } = await new Api(gateway.url).send(CLIENT, { directive: 'd' }, { 'idempotency-key': 'k' });
    expect(status).toBe(202);
    const left = await redis.pttl(keys.idempotency(shard, CLIENT, 'k'));
    expect(left).toBeLessThanOrEqual(ms);
    expect(left).toBeGreaterThan(ms - 60_000);
  } finally {
    await gateway.stop();
  }
});
