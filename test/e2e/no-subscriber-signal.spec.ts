/** A message to a client that is online and does not listen: on Mosquitto, and on a broker that never sends 0x10. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { ClusterBody } from '../../apps/api-gateway/src/cluster/cluster.dto.js';
import { Api } from '../support/api.js';
import { readAppLog } from '../support/app-log.js';
import { SENT, withoutGivenUpClaims } from '../support/claims.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { noSubscribersHidden } from '../support/contrary/acknowledgements.js';
import { TestClient } from '../support/mqtt-client.js';

describe.each([
  { name: 'Mosquitto', behaviours: [], hasSignal: true },
  { name: 'a broker that never sends 0x10', behaviours: [noSubscribersHidden], hasSignal: false },
])('on $name', ({ behaviours, hasSignal }) => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-signal-'));
  let broker: ContraryBroker;
  let api: Api;
  let ingester: Awaited<ReturnType<typeof startApp>>;
  let client: TestClient;
  let messageId: string;

  beforeAll(async () => {
    const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
    broker = await ContraryBroker.before(mosquitto.port, ...behaviours);
    const env = { REDIS_URL: redis.url, MQTT_URL: broker.url };
    const [gateway, started] = await Promise.all([
      startApp('api-gateway', { dir, env }),
      startApp('status-ingester', { dir, env }),
      startApp('dispatcher', { dir, env }),
    ]);
    ingester = started;
    api = new Api(gateway.url);
    client = await TestClient.connect(broker.url, 'not-listening');
    await client.mqtt.unsubscribeAsync('redhat/insights/out/not-listening');
    await client.shakeHands();
    await api.untilConnection('not-listening', ({ state }) => state === 'online');
  });

  afterAll(async () => {
    await client.mqtt.endAsync(true);
    await broker.stop();
    await stopAll();
    rmSync(dir, { recursive: true });
  });

  it(`GET /v1/cluster and /metrics show no_subscriber_signal as ${hasSignal}`, async () => {
    const shown = await waitUntil(
      async () => {
        const { body } = await api.call<ClusterBody>('GET', '/v1/cluster');
        if (body.broker === null) throw new Error('there is no record of a check');
        return body.broker;
      },
      { what: 'the record of the check' },
    );
    expect(shown).toMatchObject({ no_subscriber_signal: hasSignal, absence_provable: true, queue_limit: null });
    const metrics = await (await fetch(`${ingester.url}/metrics`)).text();
    expect(metrics).toContain(`\ncloud_connector_broker_no_subscriber_signal ${Number(hasSignal)}\n`);
  });

  it(`the ingester ${hasSignal ? 'warns of nothing' : 'warns once that such a message becomes sent'}`, () => {
    const warnings = readAppLog(ingester.log).filter(({ message }) => message.includes('0x10'));
    expect(warnings.map(({ level }) => level)).toEqual(hasSignal ? [] : ['warn']);
  });

  it(`a message to a client that does not listen becomes ${hasSignal ? 'held' : 'sent, and was never held'}`, async () => {
    const { body } = await api.send('not-listening', { directive: 'test:signal' });
    messageId = body.message_id;
    const { status, status_history: history } = await api.untilStatus(messageId, 'held', 'sent', 'failed');
    expect(status).toBe(hasSignal ? 'held' : 'sent');
    if (!hasSignal) expect(withoutGivenUpClaims(history.map((change) => change.status))).toEqual(SENT);
  });

  it(`that message ${hasSignal ? 'arrives' : 'does not arrive'} when the client listens`, async () => {
    await client.mqtt.subscribeAsync('redhat/insights/out/not-listening', { qos: 1 });
    await client.shakeHands();
    const later = await api.send('not-listening', { directive: 'test:later' });
    await client.waitFor('the later message', ({ message_id }) => message_id === later.body.message_id);
    expect(client.distinct.map(({ message_id }) => message_id)).toEqual(
      hasSignal ? [messageId, later.body.message_id] : [later.body.message_id],
    );
    await api.untilStatus(messageId, 'sent');
  });

  it(`GET /v1/cluster and /metrics show it as ${!hasSignal} when another broker is behind the address`, async () => {
    broker.behave(...(hasSignal ? [noSubscribersHidden] : []));
    broker.cut();
    await waitUntil(
      async () => {
        const { body } = await api.call<ClusterBody>('GET', '/v1/cluster');
        expect(body.broker).toMatchObject({ no_subscriber_signal: !hasSignal });
      },
      { what: 'the record of another check' },
    );
    const metrics = await (await fetch(`${ingester.url}/metrics`)).text();
    expect(metrics).toContain(`\ncloud_connector_broker_no_subscriber_signal ${Number(!hasSignal)}\n`);
  });
});
