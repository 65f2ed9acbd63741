/**
 * The apps start with the data of release 0.1.0, and lose nothing of it. `data-0.1.0` holds the files of Redis and Mosquitto,
 * recorded by `record.mjs`; `known.json` lists the messages.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudConnector } from '@app/client';
import { connectRedis } from '@app/platform';
import { FORMAT, RegistryKeys } from '@app/registry';
import { Members, type Announcement } from '@app/sharding';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type MessageView } from '../support/api.js';
import { EventListener } from '../support/event-listener.js';
import { TestClient } from '../support/mqtt-client.js';
import { freePort, quiet } from '../support/servers.js';

interface Known {
  /** The first id of an event stream that was opened before anything happened. */
  cursor: string;
  messages: Record<string, { id: string; client: string; status: string }>;
}

const DATA = join(__dirname, 'data-0.1.0');
const known = JSON.parse(readFileSync(join(DATA, 'known.json'), 'utf8')) as Known;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-upgrade-'));
const keys = new RegistryKeys('cc');
let env: Record<string, string>;
let api: Api;
let proxy: TestClient;

function idOf(name: string): string {
  return known.messages[name]?.id ?? '';
}

beforeAll(async () => {
  cpSync(DATA, dir, { recursive: true });
  writeFileSync(join(dir, 'accounts.json'), JSON.stringify({ clients: { 'host-of-acme': 'acme' } }));
  const [redis, mosquitto] = await Promise.all([
    startRedis({ dir, persist: true }),
    startMosquitto({ dir, persist: true }),
  ]);
  env = {
    REDIS_URL: redis.url,
    MQTT_URL: mosquitto.url,
    ACCOUNTS_FILE: join(dir, 'accounts.json'),
    // The data grow older with each day.
    EVENT_RETENTION: '3650d',
    CONNECTION_RETENTION: '3650d',
  };
  // Its two messages were accepted while no dispatcher ran: they are sent as soon as there is one.
  proxy = await TestClient.connect(mosquitto.url, 'proxy-online');
  await onRedis(standByAndMigrate);
  const [gateway] = await Promise.all([startApp('api-gateway', { dir, env }), startApp('dispatcher', { dir, env })]);
  api = new Api(gateway.url);
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function onRedis<T>(act: (redis: ReturnType<typeof connectRedis>) => Promise<T>): Promise<T> {
  const redis = connectRedis(env['REDIS_URL'] ?? '', { name: 'spec', whenAway: 'wait' }, quiet);
  try {
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

/** As in a rolling upgrade: the first ingester of this release starts while an ingester of 0.1.0 is still alive. */
async function standByAndMigrate(redis: ReturnType<typeof connectRedis>): Promise<void> {
  const old = new Members(redis, keys.cluster, 'ingester-of-0.1.0/boot', 600_000);
  await old.heartbeat({ name: 'ingester-of-0.1.0', shards: [], lanes: [] } as unknown as Announcement);
  // It is ready although it owns nothing; otherwise a rolling upgrade would never stop the old ingester.
  const port = await freePort();
  await startApp('status-ingester', { dir, env, port });
  const response = await fetch(`http://127.0.0.1:${port}/health/ready`);
  expect(await response.json()).toMatchObject({ details: { ownership: { message: /stands by/ } } });
  expect(await redis.hget(keys.marker, 'format')).toBeNull();
  await old.leave();
  await waitUntil(async () => expect(await redis.hget(keys.marker, 'format')).toBe(`${FORMAT}`), {
    what: 'the key space to be migrated',
    timeoutMs: 60_000,
  });
}

describe('the apps on the data of release 0.1.0', () => {
  it.each([
    ['host-online', 'online', null],
    ['proxy-online', 'online', null],
    ['host-gone', 'offline', 'goodbye'],
    ['host-lost', 'offline', 'retained-offline'],
    ['host-of-acme', 'offline', 'handshake-removed'],
    ['host-refused', 'offline', 'handshake-removed'],
  ])('know that the connection %s is %s', async (id, state, reason) => {
    const { body } = await api.connection(id);
    expect(body).toMatchObject({ client_id: id, state, offline_reason: reason });
  });

  it('keep the refusal of a forced disconnect', async () => {
    expect((await api.connection('host-refused')).body).toMatchObject({ refused_until: 'never' });
  });

  it('find a connection by a fact', async () => {
    const { body } = await api.call<{ data: unknown[] }>('GET', '/v1/connections?fqdn=host-gone.example.com');
    expect(body.data).toMatchObject([{ client_id: 'host-gone' }]);
  });

  it.each(Object.entries(known.messages).filter(([, { status }]) => status !== 'queued'))(
    'know the status and history of the message "%s"',
    async (name, { id, status }) => {
      const { body } = await api.call<MessageView>('GET', `/v1/messages/${id}`);
      expect(body).toMatchObject({ message_id: id, directive: `test:${name}`, status });
      expect(body.status_history[0]?.status).toMatch(/queued|held/);
    },
  );

  it('send the queued messages in order', async () => {
    for (const name of ['queued-1', 'queued-2']) await api.untilStatus(idOf(name), 'sent');
    expect(proxy.distinct.map(({ directive }) => directive)).toEqual(['test:queued-1', 'test:queued-2']);
  });

  it('answer an old Idempotency-Key with its old message', async () => {
    const body = { directive: 'test:held-with-key', payload: { name: 'held-with-key' }, ttl_seconds: 2_592_000 };
    const { status, body: repeated } = await api.send('host-lost', body, { 'idempotency-key': 'key-1' });
    expect({ status, id: repeated.message_id }).toEqual({ status: 202, id: idOf('held-with-key') });
  });

  it('cancel a held message', async () => {
    expect((await api.call('DELETE', `/v1/messages/${idOf('held-2')}`)).status).toBe(204);
  });

  it('send the held messages of a client when it returns', async () => {
    const client = await TestClient.connect(env['MQTT_URL'] ?? '', 'host-gone');
    await client.shakeHands();
    for (const name of ['held-1', 'held-3']) await api.untilStatus(idOf(name), 'sent');
    expect(client.distinct.map(({ directive }) => directive)).toEqual(['test:held-1', 'test:held-3']);
  });

  it('list the dead letters', async () => {
    const { body } = await api.call<{ data: { client_id: string }[] }>('GET', '/v1/cluster/dead-letters');
    expect(body.data.filter(({ client_id }) => client_id === 'host-bad').length).toBeGreaterThanOrEqual(2);
  });

  it('resume an event stream from an old cursor', async () => {
    const listener = await EventListener.open(api.url, { client_id: 'host-lost' }, known.cursor);
    await listener.until('the stream reports a gap or the offline client', () => {
      const seen = listener.received.map(({ event }) => event);
      if (!seen.includes('gap') && !seen.includes('connection.offline')) throw new Error(seen.join());
    });
    listener.close();
    expect(listener.received.map(({ event }) => event).filter((event) => event !== 'gap')).toEqual(
      expect.not.arrayContaining(['closed']),
    );
  });

  it('list all connections to the published client', async () => {
    const ids = [];
    for await (const { client_id } of new CloudConnector({ baseUrl: api.url }).connections()) ids.push(client_id);
    expect(ids).toEqual(expect.arrayContaining(['host-online', 'proxy-online', 'host-gone', 'host-of-acme']));
  });
});

describe('a second start of the ingester', () => {
  it('finds the key space migrated, and keeps its id', async () => {
    const before = await onRedis((redis) => redis.hgetall(keys.marker));
    const second = await startApp('status-ingester', { dir, env, name: 'second-ingester' });
    await second.stop();
    expect(await onRedis((redis) => redis.hgetall(keys.marker))).toEqual(before);
    expect(readFileSync(join(dir, 'second-ingester.log'), 'utf8')).not.toContain('migrat');
  });
});
