/** A whole ingester in this process measures the queue of a Mosquitto that keeps few messages. */
import { BrokerRecords, RegistryKeys } from '@app/registry';
import type { Redis } from '@app/platform';
import { pino } from 'pino';
import { IngesterApp } from '../../../../test/support/ingester-app.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, startMosquitto } from '../../../../test/support/servers.js';

let redis: Redis;
let redisUrl: string;

withRedis((connection, server) => {
  redis = connection;
  redisUrl = server.url;
});

it('an ingester records the limit of the queue of the broker, exposes it, and warns of it', async () => {
  const mosquitto = await startMosquitto({ config: ['max_queued_messages 300'] });
  const warnings: { queue_limit?: number }[] = [];
  const logger = pino(
    { level: 'warn' },
    { write: (line) => void warnings.push(JSON.parse(line) as { queue_limit?: number }) },
  );
  const env = { REDIS_URL: redisUrl, MQTT_URL: mosquitto.url, KEY_PREFIX: 'queue', SHARD_COUNT: '1' };
  const app = await IngesterApp.start(env, logger, { queue: { firstMs: 0, everyMs: 50 } });
  const records = new BrokerRecords(redis, new RegistryKeys('queue'));
  try {
    await eventually('the limit is recorded', async () =>
      expect(await records.read()).toMatchObject({ queue_limit: 300 }),
    );
    await eventually('the limit is exposed', async () => expect(await app.counter('broker_queue_limit')).toBe(300));
    expect(warnings.filter(({ queue_limit: limit }) => limit === 300)).toHaveLength(1);
  } finally {
    await app.stop();
    await mosquitto.stop();
  }
});
