/** The Redis user of the examples, over TLS: its rights suffice for the whole service, and allow nothing else. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { ROOT, findProgram } from '../../scripts/setup.mjs';
import { freePort, launch, startApp, startMosquitto, stopAll, waitUntil, type Part } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';

/** Error texts of Redis for a command that is not allowed. */
const REFUSED = /NOPERM|The user executing the script can't/;
const PASSWORD = 'a-password-of-the-spec';
const ADMIN = 'another-password-of-the-spec';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-redis-security-'));
let port: number;
let redisServer: Part;
let api: Api;
let mqttUrl: string;
let env: Record<string, string>;
const apps: Part[] = [];

beforeAll(async () => {
  execFileSync(join(ROOT, 'examples/mosquitto/secure/certificates.sh'), [dir]);
  const users = readFileSync(join(ROOT, 'examples/redis/users.acl'), 'utf8').replace('CHANGE-ME', PASSWORD);
  // As examples/redis/README.md says, for the work of an operator.
  writeFileSync(join(dir, 'users.acl'), `${users}user admin on >${ADMIN} ~* &* +@all\n`);
  port = await freePort();
  await startRedis();
  const mosquitto = await startMosquitto({ dir });
  mqttUrl = mosquitto.url;
  env = {
    REDIS_URL: `rediss://cloud-connector:${PASSWORD}@127.0.0.1:${port}`,
    MQTT_URL: mqttUrl,
    NODE_EXTRA_CA_CERTS: join(dir, 'ca.crt'),
  };
  const names = ['api-gateway', 'status-ingester', 'dispatcher'] as const;
  const started = await Promise.all(names.map((name) => startApp(name, { dir, env })));
  apps.push(...started);
  api = new Api(started[0]?.url ?? '');
});

/** As examples/redis/README.md says. */
async function startRedis(): Promise<void> {
  const tls = ['--tls-port', `${port}`, '--tls-auth-clients', 'no', '--tls-ca-cert-file', join(dir, 'ca.crt')];
  const certificate = ['--tls-cert-file', join(dir, 'broker.crt'), '--tls-key-file', join(dir, 'broker.key')];
  const data = ['--dir', dir, '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'];
  const place = ['--port', '0', '--bind', '127.0.0.1', '--aclfile', join(dir, 'users.acl')];
  const args = [...place, ...data, ...tls, ...certificate];
  redisServer = launch('redis', findProgram('redis-server') ?? 'redis-server', args, { dir });
  await redisServer.until(() => asUser((redis) => redis.ping()));
}

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** Acts on a connection with the credentials of the apps, or with others. */
async function asUser<T>(
  act: (redis: Redis) => Promise<T>,
  username = 'cloud-connector',
  password = PASSWORD,
): Promise<T> {
  const redis = new Redis({
    port,
    host: '127.0.0.1',
    username,
    password,
    tls: { ca: readFileSync(join(dir, 'ca.crt')) },
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    lazyConnect: true,
  });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

it('the apps register a client, send it messages and disconnect it as this Redis user', async () => {
  const client = await TestClient.connect(mqttUrl, 'secured');
  await client.shakeHands();
  await api.untilConnection('secured', ({ state }) => state === 'online');
  const { body } = await api.send('secured', { directive: 'spec:ping' });
  await client.waitFor('the message', (message) => message.directive === 'spec:ping');
  await api.untilStatus(body.message_id, 'sent');
  await client.reportError(body.message_id, 'no such directive');
  await api.untilStatus(body.message_id, 'failed');
  for (const path of ['/v1/connections?fqdn=secured.example.com', '/v1/connections/summary', '/v1/cluster']) {
    expect([path, (await api.call('GET', path)).status]).toEqual([path, 200]);
  }
  expect((await api.verify('secured')).status).toBe(200);
  const forced = await api.call('POST', '/v1/connections/secured/force-disconnect', { reconnect_after: 'PT1S' });
  expect(forced.status).toBe(202);
  await client.waitFor('the force-disconnect', ({ type }) => type === 'force-disconnect');
  client.vanish();
  client.mqtt.end(true);
  await api.untilConnection('secured', ({ state }) => state === 'offline');
  expect((await api.send('secured', { directive: 'spec:held' })).body.status).toBe('held');
});

it('a second ingester gets its share as this Redis user, and what a stopped one has', async () => {
  const [, first] = apps;
  const second = await startApp('status-ingester', { dir, env, name: 'second-ingester' });
  apps.push(second);
  const owners = async (): Promise<number> => {
    const { body } = await api.call<{ shards: { owner: string | null }[] }>('GET', '/v1/cluster');
    return new Set(body.shards.map(({ owner }) => owner)).size;
  };
  await waitUntil(async () => expect(await owners()).toBe(2), { what: 'shards of two ingesters' });
  expect(await first?.stop()).toBe(0);
  await waitUntil(async () => expect(await owners()).toBe(1), { what: 'shards of one ingester' });
  const client = await TestClient.connect(mqttUrl, 'handed-over');
  await client.shakeHands();
  await api.untilConnection('handed-over', ({ state }) => state === 'online');
  client.mqtt.end(true);
});

it('Redis has refused no command of the apps', async () => {
  await waitUntil(
    async () => {
      for (const app of apps.filter(({ running }) => running))
        expect((await fetch(`${(app as Part & { url: string }).url}/health/ready`)).status).toBe(200);
    },
    { what: 'ready apps' },
  );
  for (const app of apps) expect(readFileSync(app.log, 'utf8')).not.toMatch(REFUSED);
  // Also what no app has logged.
  const refused = await asUser((redis) => redis.call('ACL', 'LOG'), 'admin', ADMIN);
  expect(refused).toEqual([]);
});

it.each([
  ['empty the server', 'FLUSHALL'],
  ['list keys', 'KEYS *'],
  ['look through all keys', 'SCAN 0'],
  ['change the configuration', 'CONFIG SET maxmemory-policy allkeys-lru'],
  ['watch others', 'MONITOR'],
  ['stop the server', 'SHUTDOWN NOSAVE'],
  ['give itself rights', 'ACL SETUSER cloud-connector allkeys allcommands'],
  ['copy the server', 'REPLICAOF 127.0.0.1 1'],
  ['read another installation', 'GET other:marker'],
  ['write to another installation', 'SET other:marker x'],
  ['reach another installation by a script', 'EVAL return(redis.call("GET","other:marker")) 0'],
  ['listen to another installation', 'SUBSCRIBE other:replies'],
])('Redis does not let its user %s', async (_, command) => {
  const [name = '', ...args] = command.split(' ');
  await expect(asUser((redis) => redis.call(name, ...args))).rejects.toThrow(REFUSED);
});

it('Redis has all messages and connections after a restart', async () => {
  const { body } = await api.send('secured', { directive: 'spec:kept' });
  expect(body.status).toBe('held');
  await redisServer.stop();
  await startRedis();
  await api.untilStatus(body.message_id, 'held');
  await api.untilConnection('secured', ({ state }) => state === 'offline');
});

it('Redis refuses connections without the password or without TLS', async () => {
  await expect(asUser((redis) => redis.ping(), 'default', '')).rejects.toThrow();
  await expect(asUser((redis) => redis.ping(), 'cloud-connector', 'wrong')).rejects.toThrow();
  const plain = new Redis({ port, retryStrategy: () => null, maxRetriesPerRequest: 0, lazyConnect: true });
  plain.on('error', () => undefined);
  await expect(plain.connect().then(() => plain.ping())).rejects.toThrow();
  plain.disconnect();
});

it('no log has the password of Redis', () => {
  for (const app of apps) expect(readFileSync(app.log, 'utf8')).not.toContain(PASSWORD);
});
