/** A whole ingester in this process whose broker stops to retain messages, and does it again. */
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { granted } from '../../../../test/support/contrary/connects.js';
import { IngesterApp } from '../../../../test/support/ingester-app.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet, startMosquitto } from '../../../../test/support/servers.js';

let redisUrl: string;

withRedis((_, server) => {
  redisUrl = server.url;
});

it('an ingester exposes that the broker retains messages, that it no longer does, and that it does again', async () => {
  const mosquitto = await startMosquitto();
  const contrary = await ContraryBroker.before(mosquitto.port);
  const env = { REDIS_URL: redisUrl, MQTT_URL: contrary.url, KEY_PREFIX: 'missing', SHARD_COUNT: '1' };
  const app = await IngesterApp.start(env, quiet, {});
  const isRetained = (value: number): Promise<void> =>
    eventually(`broker_retain_available is ${value}`, async () =>
      expect(await app.counter('broker_retain_available')).toBe(value),
    );
  try {
    await isRetained(1);
    contrary.behave(granted({ retainAvailable: false }));
    contrary.cut();
    await isRetained(0);
    contrary.behave();
    await isRetained(1);
  } finally {
    await app.stop();
    await Promise.all([contrary.stop(), mosquitto.stop()]);
  }
});
