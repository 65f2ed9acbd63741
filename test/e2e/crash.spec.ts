/** A process, Redis or the broker fails: nothing that was accepted is lost, and the system recovers by itself. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startApp, startMosquitto, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { ClusterBody } from '../../apps/api-gateway/src/cluster/cluster.dto.js';
import { Api, type ProblemView } from '../support/api.js';
import { readAppLog } from '../support/app-log.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { publishedWithoutClaim } from '../support/claims.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { onEachMaster, onStore, startStore, type Store } from '../support/store.js';

const SHARDS = 32;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-crash-'));
let redis: Store;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let gateway: Awaited<ReturnType<typeof startApp>>;
let ingester: Awaited<ReturnType<typeof startApp>>;
let dispatcher: Awaited<ReturnType<typeof startApp>>;
let api: Api;

function env(): Record<string, string> {
  return { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LEASE_TIME: '2s' };
}

beforeAll(async () => {
  redis = await startStore(dir);
  mosquitto = await startMosquitto({ dir, persist: true });
  [gateway, ingester, dispatcher] = await Promise.all([
    startApp('api-gateway', { dir, env: env() }),
    startApp('status-ingester', { dir, env: env() }),
    startApp('dispatcher', { dir, env: env() }),
  ]);
  api = new Api(gateway.url);
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function untilReady({ url }: { url: string }): Promise<void> {
  await waitUntil(async () => {
    const { status } = await fetch(`${url}/health/ready`);
    if (status !== 200) throw new Error(`readiness answers ${status}`);
  });
}

async function shardsOwned({ url }: { url: string }): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^cloud_connector_shards_owned (\d+)$/m.exec(metrics)?.[1]);
}

async function online(id: string): Promise<TestClient> {
  const client = await TestClient.connect(mosquitto.url, id);
  await client.shakeHands();
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

it('the next ingester receives all messages of one that is killed during a storm of messages', async () => {
  const client = await TestClient.connect(mosquitto.url, 'storm');
  const publishes: Promise<unknown>[] = [];
  for (let n = 0; n < 3000; n++) {
    const handshake = envelope('host-handshake', {
      message_id: `storm-${n}`,
      payload: { canonical_facts: { fqdn: `storm-${n}` } },
    });
    publishes.push(
      client.mqtt.publishAsync(`redhat/insights/in/storm-client-${n % 300}`, handshake, { qos: 1, retain: true }),
    );
    if (n === 1500) await ingester.kill();
  }
  await Promise.all(publishes);
  ingester = await startApp('status-ingester', { dir, env: env() });
  // Shards are processed independently: wait for the last message of every client.
  for (let n = 2700; n < 3000; n++) {
    await api.untilConnection(`storm-client-${n % 300}`, (it) => it.handshake_message_id === `storm-${n}`);
  }
  const { body } = await api.call<{ data: { client_id: string }[] }>('GET', '/v1/connections?limit=1000');
  expect(body.data.filter(({ client_id }) => client_id.startsWith('storm-client-'))).toHaveLength(300);
  client.vanish();
});

it('an ingester applies what clients did while none was running', async () => {
  const staying = await online('away-staying');
  const leaving = await online('away-leaving');
  expect(await ingester.stop()).toBe(0);
  leaving.vanish();
  const coming = await TestClient.connect(mosquitto.url, 'away-coming');
  await coming.shakeHands();
  ingester = await startApp('status-ingester', { dir, env: env() });
  await api.untilConnection('away-leaving', ({ state }) => state === 'offline');
  await api.untilConnection('away-coming', ({ state }) => state === 'online');
  await api.untilConnection('away-staying', ({ state }) => state === 'online');
  staying.vanish();
  coming.vanish();
});

it('a dispatcher sends messages in order that were accepted while none was running', async () => {
  const client = await online('no-dispatcher');
  expect(await dispatcher.stop()).toBe(0);
  const ids: string[] = [];
  for (let n = 0; n < 50; n++)
    ids.push((await api.send('no-dispatcher', { directive: 'test:n', payload: n })).body.message_id);
  dispatcher = await startApp('dispatcher', { dir, env: env() });
  await api.untilStatus(ids.at(-1) ?? '', 'sent');
  expect(client.distinct.map(({ message_id }) => message_id)).toEqual(ids);
  client.vanish();
});

it('the dispatcher that follows a killed one claims a message again before it repeats the publish', async () => {
  const client = await online('killed-dispatcher');
  const ids: string[] = [];
  for (let n = 0; n < 200; n++)
    ids.push((await api.send('killed-dispatcher', { directive: 'test:n', payload: n })).body.message_id);
  await client.waitFor('the first messages', () => client.received.length > 5);
  await dispatcher.kill();
  dispatcher = await startApp('dispatcher', { dir, env: env() });
  await api.untilStatus(ids.at(-1) ?? '', 'sent');
  const received = client.received.map(({ message_id }) => message_id);
  const firsts = received.filter((id, i) => received.indexOf(id) === i);
  expect(firsts).toEqual(ids);
  const shard = shardOf(client.id, SHARDS);
  expect(await onStore(redis, (one) => publishedWithoutClaim(one, new RegistryKeys('cc'), shard, received))).toEqual(
    [],
  );
  client.vanish();
});

it('housekeeping repeats a lost wake-up', async () => {
  const client = await online('lost-wake-up');
  await dispatcher.stop();
  const { body } = await api.send('lost-wake-up', { directive: 'test:lost' });
  await onEachMaster(redis, async (master) => {
    const queue = await master.keys('cc:{queue}:*');
    if (queue.length > 0) await master.del(queue);
  });
  dispatcher = await startApp('dispatcher', { dir, env: env() });
  await api.untilStatus(body.message_id, 'sent');
  client.vanish();
});

it('a second ingester takes half of the shards, and all of them when the first one is killed', async () => {
  const second = await startApp('status-ingester', { dir, env: env(), name: 'second-ingester' });
  await waitUntil(async () => expect(await Promise.all([ingester, second].map(shardsOwned))).toEqual([16, 16]));
  await waitUntil(async () => {
    const { body: cluster } = await api.call<ClusterBody>('GET', '/v1/cluster');
    expect(cluster.members.map(({ shards }) => shards)).toEqual([16, 16]);
    const owners = new Set(cluster.shards.map(({ owner }) => owner));
    expect(owners).toEqual(new Set(cluster.members.map(({ id }) => id)));
  });
  const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => online(`shared-${i}`)));
  await ingester.kill();
  for (const client of clients) client.vanish();
  for (let i = 0; i < clients.length; i++) {
    await api.untilConnection(`shared-${i}`, ({ state }) => state === 'offline');
  }
  await waitUntil(async () => expect(await shardsOwned(second)).toBe(32));
  const client = await online('second-owner');
  client.vanish();
  ingester = second;
});

it('messages and handshakes are processed after the broker restarts with its store', async () => {
  const { port } = mosquitto;
  await mosquitto.stop();
  const held = await api.send('second-owner', { directive: 'test:broker' });
  expect(held.status).toBe(202);
  mosquitto = await startMosquitto({ dir, persist: true, port });
  // Mosquitto 2.0 forgets shared subscriptions at a restart: messages that are published before the lane is back are lost.
  await untilReady(ingester);
  await untilReady(dispatcher);
  const client = await online('second-owner');
  await client.waitFor('the held message', ({ message_id }) => message_id === held.body.message_id);
  await api.untilStatus(held.body.message_id, 'sent');
  client.vanish();
});

it('the gateway answers 503 with Retry-After while Redis is away, stays ready, and recovers', async () => {
  const client = await online('redis-away');
  await redis.stop();
  const refused = await api.call<ProblemView>('POST', '/v1/connections/redis-away/messages', {
    directive: 'test:away',
  });
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('1');
  expect(refused.body.type).toBe('urn:cloud-connector:problem:unavailable');
  const ready = await fetch(`${gateway.url}/health/ready`);
  expect(ready.status).toBe(200);
  const health = await ready.text();
  expect(JSON.parse(health)).toMatchObject({ status: 'degraded' });
  // Anybody may read it.
  expect(health).not.toContain('127.0.0.1');
  await redis.again();
  const accepted = await waitUntil(
    async () => {
      const answer = await api.send('redis-away', { directive: 'test:back' });
      if (answer.status !== 202) throw new Error(`answered ${answer.status}`);
      return answer.body;
    },
    { what: 'the gateway accepts a message again' },
  );
  await client.waitFor('the message', ({ message_id }) => message_id === accepted.message_id);
  await api.untilStatus(accepted.message_id, 'sent');
  client.vanish();
  await api.untilConnection('redis-away', ({ state }) => state === 'offline');
});

it('handshakes that arrive while Redis is stalled are processed when it answers again, and no queue grows', async () => {
  const pids: number[] = [];
  await onEachMaster(redis, async (master) => {
    pids.push(Number(/^process_id:(\d+)/m.exec(await master.info('server'))?.[1]));
  });
  const client = await TestClient.connect(mosquitto.url, 'stalled');
  const ids = Array.from({ length: 300 }, (_, i) => `stalled-client-${i}`);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    const handshake = envelope('host-handshake', { payload: { canonical_facts: { fqdn: 'stalled' } } });
    await Promise.all(
      ids.map((id) => client.mqtt.publishAsync(`redhat/insights/in/${id}`, handshake, { qos: 1, retain: true })),
    );
    await waitUntil(async () => {
      const { status } = await fetch(`${ingester.url}/health/ready`);
      if (status !== 503) throw new Error(`readiness answers ${status}`);
      if ((await shardsOwned(ingester)) > 0) throw new Error('the leases have not expired yet');
    });
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
  for (const id of ids) await api.untilConnection(id, ({ state }) => state === 'online');
  for (const { log } of [gateway, ingester, dispatcher]) expect(readFileSync(log, 'utf8')).not.toMatch(/Warning/);
  client.vanish();
});

it('the ingester joins again after Redis has lost all data, and clients that shake hands again are registered', async () => {
  const client = await online('redis-emptied');
  await onEachMaster(redis, (master) => master.flushall());
  await client.shakeHands();
  await api.untilConnection('redis-emptied', ({ state }) => state === 'online');
  await untilReady(ingester);
  const { body } = await api.send('redis-emptied', { directive: 'test:again' });
  await client.waitFor('the message', ({ message_id }) => message_id === body.message_id);
  client.vanish();
  await api.untilConnection('redis-emptied', ({ state }) => state === 'offline');
});

it('an ingester that cannot hand over in time, because Redis is away, ends with 1 and says what has not stopped', async () => {
  await ingester.stop();
  ingester = await startApp('status-ingester', { dir, env: { ...env(), SHUTDOWN_GRACE: '30s' } });
  await redis.stop();
  const ended = ingester.stop(40_000);
  const late = /"level":"warn".*"step":".*did not stop in time/;
  await waitUntil(() => expect(readFileSync(ingester.log, 'utf8')).toMatch(late), { what: 'a step that is late' });
  await redis.again();
  expect(await ended).toBe(1);
  expect(readAppLog(ingester.log).at(-1)?.message).toMatch(/^stopped, but not everything was handed over/);
  ingester = await startApp('status-ingester', { dir, env: env() });
});

it('every line that an app prints is one JSON object, also when the broker refuses it and when it stops', async () => {
  const { port } = mosquitto;
  const contrary = await ContraryBroker.before(port);
  const refused = { ...env(), MQTT_URL: contrary.url };
  await Promise.all([
    startApp('dispatcher', { dir, env: refused, name: 'refused-dispatcher' }),
    startApp('status-ingester', { dir, env: refused, name: 'refused-ingester' }),
  ]);
  contrary.refuse();
  await mosquitto.stop();
  mosquitto = await startMosquitto({ dir, persist: true, port });
  await waitUntil(() => expect(contrary.refused).toBeGreaterThan(5));
  await stopAll();
  await contrary.stop();
  const logs = readdirSync(dir).filter((name) => /^(api-gateway|(\w+-)?(ingester|dispatcher))\.log$/.test(name));
  expect(logs.length).toBeGreaterThanOrEqual(6);
  for (const name of logs) {
    const lines = readAppLog(join(dir, name));
    expect(lines.map(({ message }) => message)).toContain('started');
  }
  const last = readAppLog(join(dir, 'refused-dispatcher.log'));
  expect(last.some(({ err }) => err !== undefined)).toBe(true);
  expect(last.at(-1)?.message).toBe('stopped');
});
