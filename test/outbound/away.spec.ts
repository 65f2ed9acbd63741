/**
 * Redis or the broker becomes unreachable, because connections are reset or because nothing passes: what callers get, and
 * that everything recovers automatically.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type ProblemView } from '../support/api.js';
import { publishedWithoutClaim } from '../support/claims.js';
import { TestClient } from '../support/mqtt-client.js';
import { Proxy } from '../support/proxy.js';

const SHARDS = 32;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-away-'));
let redisServer: Awaited<ReturnType<typeof startRedis>>;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let gateway: Awaited<ReturnType<typeof startApp>>;
let dispatcher: Awaited<ReturnType<typeof startApp>>;
let toRedis: Proxy;
let dispatcherToRedis: Proxy;
let dispatcherToBroker: Proxy;
let api: Api;

beforeAll(async () => {
  [redisServer, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  [toRedis, dispatcherToRedis, dispatcherToBroker] = await Promise.all([
    Proxy.before(redisServer.port),
    Proxy.before(redisServer.port),
    Proxy.before(mosquitto.port),
  ]);
  const urlOf = ({ port }: Proxy): string => `redis://127.0.0.1:${port}`;
  [gateway, , dispatcher] = await Promise.all([
    startApp('api-gateway', { dir, env: { REDIS_URL: urlOf(toRedis) } }),
    startApp('status-ingester', { dir, env: { REDIS_URL: redisServer.url, MQTT_URL: mosquitto.url } }),
    startApp('dispatcher', {
      dir,
      env: { REDIS_URL: urlOf(dispatcherToRedis), MQTT_URL: `mqtt://127.0.0.1:${dispatcherToBroker.port}` },
    }),
  ]);
  api = new Api(gateway.url);
});

afterAll(async () => {
  for (const proxy of [toRedis, dispatcherToRedis, dispatcherToBroker]) proxy.heal();
  await stopAll();
  await Promise.all([toRedis, dispatcherToRedis, dispatcherToBroker].map((proxy) => proxy.stop()));
  rmSync(dir, { recursive: true });
});

async function online(id: string): Promise<TestClient> {
  const client = await TestClient.connect(mosquitto.url, id);
  await client.shakeHands();
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

function cpuSeconds(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

describe('a message whose publish was lost with the connection', () => {
  it('can be cancelled while the broker is away, and is not published after that', async () => {
    const client = await online('lost-publish');
    dispatcherToBroker.silence();
    const { body: lost } = await api.send(client.id, { directive: 'test:lost' });
    await api.untilStatus(lost.message_id, 'in_flight');
    // The connection ends, and each new one is reset until `heal`.
    dispatcherToBroker.cut();
    await api.untilStatus(lost.message_id, 'queued');
    expect((await api.call('DELETE', `/v1/messages/${lost.message_id}`)).status).toBe(204);
    dispatcherToBroker.heal();
    const { body: next } = await api.send(client.id, { directive: 'test:next' });
    await client.waitFor('the next message', ({ message_id }) => message_id === next.message_id);
    expect(client.distinct.map(({ directive }) => directive)).toEqual(['test:next']);
    await client.sayGoodbye();
  });
});

describe.each(['cut', 'silence'] as const)('a gateway that cannot reach Redis (%s)', (how) => {
  it('answers 503 with Retry-After, and stores nothing that it has not accepted', async () => {
    const id = `gateway-${how}`;
    const client = await online(id);
    toRedis[how]();
    const calls = await Promise.all([
      api.send(id, { directive: 'test:away' }, { 'idempotency-key': 'away' }),
      api.call('POST', '/v1/messages', { messages: [{ client_id: id, directive: 'test:away' }] }),
      api.connection(id),
      api.call('GET', `/v1/connections/${id}/messages`),
      api.call('GET', '/v1/events'),
    ]);
    const [single, batch, ...others] = calls;
    for (const { status, headers } of [single, ...others]) {
      expect([status, headers.get('retry-after')]).toEqual([503, '1']);
    }
    expect((single.body as unknown as ProblemView).type).toBe('urn:cloud-connector:problem:unavailable');
    expect(batch.body).toMatchObject({ results: [{ status: 503, problem: { retry_after: 1 } }] });
    toRedis.heal();
    // A retry is safe: a request with the same key is accepted once, whether the first one was stored or not.
    const accepted = await waitUntil(
      async () => {
        const answer = await api.send(id, { directive: 'test:away' }, { 'idempotency-key': 'away' });
        if (answer.status !== 202) throw new Error(`answered ${answer.status}`);
        return answer.body;
      },
      { what: 'the gateway to accept the message' },
    );
    await client.waitFor('the message', ({ message_id }) => message_id === accepted.message_id);
    client.vanish();
  });
});

describe.each([
  ['Redis', 'cut'],
  ['Redis', 'silence'],
  ['the broker', 'cut'],
  ['the broker', 'silence'],
] as const)('a dispatcher that cannot reach %s (%s)', (server, how) => {
  it('waits without a busy loop, fails no job, and sends the queued messages in order when it can', async () => {
    const id = `dispatcher-${server === 'Redis' ? 'redis' : 'broker'}-${how}`;
    const client = await online(id);
    const proxy = server === 'Redis' ? dispatcherToRedis : dispatcherToBroker;
    proxy[how]();
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await api.send(id, { directive: 'test:n', payload: n })).body.message_id);
    const before = cpuSeconds(dispatcher.pid);
    // Another message expires after 6 s: by then the lock of the dispatcher's job has expired, and a busy loop would show.
    const expiring = await api.send(id, { directive: 'test:expires', ttl_seconds: 6 });
    await api.untilStatus(expiring.body.message_id, 'expired');
    expect(cpuSeconds(dispatcher.pid) - before).toBeLessThan(3);
    proxy.heal();
    await api.untilStatus(ids.at(-1) ?? '', 'sent');
    expect(client.distinct.map(({ message_id }) => message_id)).toEqual(ids);
    const queue = new Redis(redisServer.url);
    const received = client.received.map(({ message_id }) => message_id);
    expect(await publishedWithoutClaim(queue, new RegistryKeys('cc'), shardOf(id, SHARDS), received)).toEqual([]);
    expect(await queue.exists('cc:{queue}:wake-ups:failed', 'cc:{queue}:wake-ups:completed')).toBe(0);
    queue.disconnect();
    client.vanish();
  });
});
