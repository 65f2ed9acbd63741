/** A whole ingester in this process, on a broker that strips the retain flag and does not allow the check that would find it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConnectionDirectory, RegistryKeys } from '@app/registry';
import type { Redis } from '@app/platform';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { retainStripped } from '../../../../test/support/contrary/shared-subscriptions.js';
import { IngesterApp } from '../../../../test/support/ingester-app.js';
import { TestClient, envelope } from '../../../../test/support/mqtt-client.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet, startMosquitto } from '../../../../test/support/servers.js';

const PREFIX = 'retain-flag';
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-retain-flag-'));
let redis: Redis;
let redisUrl: string;

withRedis((connection, server) => {
  redis = connection;
  redisUrl = server.url;
});

afterAll(() => rmSync(dir, { recursive: true }));

it('an ingester refuses no handshake whose retain flag the broker may have stripped, and finds what the broker retains', async () => {
  const rights = join(dir, 'rights');
  const topics = ['redhat/#', 'cloud-connector/sentinel', '$SYS/#'];
  writeFileSync(rights, topics.map((topic) => `topic readwrite ${topic}\n`).join(''));
  const mosquitto = await startMosquitto({ config: [`acl_file ${rights}`] });
  const contrary = await ContraryBroker.before(mosquitto.port, retainStripped());
  const env = { REDIS_URL: redisUrl, MQTT_URL: contrary.url, KEY_PREFIX: PREFIX, SHARD_COUNT: '1' };
  const app = await IngesterApp.start(env, quiet, {});
  const directory = new ConnectionDirectory(redis, new RegistryKeys(PREFIX), 1);
  try {
    await eventually('the lane is connected', async () => expect(await app.isReady()).toBe(true));
    const [retains, doesNot] = await Promise.all(['a', 'b'].map((id) => TestClient.connect(mosquitto.url, id)));
    if (retains === undefined || doesNot === undefined) throw new Error('there are two');
    const payload = { canonical_facts: { fqdn: 'host.example.com' } };
    await doesNot.publish(envelope('host-handshake', { payload }), false);
    await retains.publish(envelope('host-handshake', { payload, message_id: 'retained' }), true);
    await eventually('both were verified', async () => {
      expect(await directory.find('a')).toMatchObject({ state: 'online', handshake_message_id: 'retained' });
      expect(await directory.find('b')).toMatchObject({ state: 'offline', offline_reason: 'handshake-removed' });
    });
    expect([...retains.received, ...doesNot.received]).toEqual([]);
    expect(await app.counter('dead_letters_total')).toBe(0);
    await Promise.all([retains.sayGoodbye(), doesNot.sayGoodbye()]);
  } finally {
    await app.stop();
    await Promise.all([contrary.stop(), mosquitto.stop()]);
  }
});
