/** Attempts to exhaust a gateway: by the number of requests, their size, their depth, or their slowness. */
import { connect, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { ProblemBody } from '../../apps/api-gateway/src/http/problem.js';
import { HOST, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type Answer } from '../support/api.js';
import { KeyRing, rawRequest, startGateway, statusOf, type RunningGateway } from './support/gateway.js';

const PER_KEY = 50;
const PER_ADDRESS = 60;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-limits-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const [loud, calm, sender] = ['loud', 'calm', 'sender'].map((id) => ring.add({ id, scopes: [...SCOPES] })) as [
  string,
  string,
  string,
];
let redis: Awaited<ReturnType<typeof startRedis>>;
/** One of two gateways that share a Redis; it trusts the `X-Forwarded-For` of proxies on loopback. */
let gateway: RunningGateway;
let other: RunningGateway;

beforeAll(async () => {
  redis = await startRedis({ dir });
  const env = { REDIS_URL: redis.url, API_KEYS_FILE: ring.path, KEY_RATE_LIMIT: `${PER_KEY}` };
  [gateway, other] = await Promise.all([
    startGateway(dir, 'gateway', { ...env, ADDRESS_RATE_LIMIT: `${PER_ADDRESS}`, TRUSTED_PROXIES: '127.0.0.0/8, ::1' }),
    startGateway(dir, 'other', {
      ...env,
      REQUEST_TIMEOUT: '2s',
      MAX_CONNECTIONS: '250',
      ADDRESS_RATE_LIMIT: `${PER_ADDRESS}`,
    }),
  ]);
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** Sends `count` requests at the same time. `windows`: how many windows of a second they can have been counted in. */
async function flood<Body>(
  count: number,
  call: (i: number) => Promise<Answer<Body>>,
): Promise<{ of(status: number): number; answers: Answer<Body>[]; windows: number }> {
  const begun = performance.now();
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => call(i)));
  const windows = Math.floor((performance.now() - begun) / 1000) + 1;
  return { answers, of: (status) => answers.filter((answer) => answer.status === status).length, windows };
}

/** Waits for a new window of a second, in Redis and in the gateways: no earlier request of this spec counts. */
async function freshWindow(): Promise<void> {
  await waitUntil(async () => {
    const keys = await rawRequest(redis.port, 'KEYS *requests*\r\nQUIT\r\n', '+OK');
    if (!keys.startsWith('*0')) throw new Error(keys);
  });
}

const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address });

it('the gateways refuse a key that exceeds its limit at all of them together, and no other key', async () => {
  const first = new Api(gateway.url, loud);
  const second = new Api(other.url, loud);
  // The admitted requests cost little: with more work a flood would last longer than the windows that count it.
  const nothing = '/v1/messages/00000000-0000-4000-8000-000000000000';
  expect([(await first.call('GET', nothing)).status, (await second.call('GET', nothing)).status]).toEqual([404, 404]);
  await freshWindow();
  const statuses = await flood<unknown>(8 * PER_KEY, (i) =>
    i % 2 === 0 ? first.call('GET', nothing, undefined, from(`192.0.2.${i / 2}`)) : second.call('GET', nothing),
  );
  expect(statuses.of(404)).toBeLessThanOrEqual(statuses.windows * PER_KEY);
  expect(statuses.of(429)).toBe(8 * PER_KEY - statuses.of(404));
  const calmly = new Api(gateway.url, calm).call('GET', '/v1/connections', undefined, from('192.0.2.250'));
  expect((await calmly).status).toBe(200);
  const refused = statuses.answers.find(({ status }) => status === 429);
  const headers = ['retry-after', 'ratelimit', 'ratelimit-policy'].map((name) => refused?.headers.get(name));
  const policy = `"key";q=${PER_KEY};w=1, "address";q=${PER_ADDRESS};w=1`;
  expect(headers).toEqual(['1', '"key";r=0;t=1', policy]);
  expect((await calmly).headers.get('ratelimit-policy')).toBe(policy);
  expect(ProblemBody.parse(refused?.body).type).toBe('urn:cloud-connector:problem:rate-limited');
});

it('the gateways refuse an address that guesses keys, whatever X-Forwarded-For it sends, and no other address', async () => {
  await freshWindow();
  const guess = (i: number, headers: Record<string, string>): Promise<Answer<unknown>> =>
    new Api(gateway.url, `cck_guess-${i}`).call('GET', '/v1/connections', undefined, headers);
  const guesses = await flood(240, (i) => guess(i, from('198.51.100.1')));
  // The number of admitted requests depends on how many windows of a second the flood takes.
  expect(guesses.of(429)).toBeGreaterThan(0);
  expect(guesses.of(401) + guesses.of(429)).toBe(240);
  // A /64 of IPv6 counts as one address; of a forged X-Forwarded-For the address that the trusted proxy added counts.
  const network = await flood(240, (i) => guess(i, from(`2001:db8:1:2::${i.toString(16)}`)));
  expect(network.of(429)).toBeGreaterThan(0);
  const masked = await flood(240, (i) => guess(i, from(`10.0.0.${i}, 198.51.100.2`)));
  expect(masked.of(429)).toBeGreaterThan(0);
  // The other gateway trusts no proxy.
  const untrusted = await flood(240, (i) =>
    new Api(other.url, `cck_guess-${i}`).call('GET', '/v1/connections', undefined, from(`198.51.100.${i}`)),
  );
  expect(untrusted.of(429)).toBeGreaterThan(0);
  expect((await new Api(gateway.url, calm).call('GET', '/v1/connections', undefined, from('203.0.113.9'))).status).toBe(
    200,
  );
});

it('the gateway counts a batch by its messages', async () => {
  await freshWindow();
  const api = new Api(gateway.url, sender);
  const messages = Array.from({ length: 200 }, (_, i) => ({ client_id: `c-${i}`, directive: 'spec:any' }));
  const statuses = await flood(12, (i) => api.call('POST', '/v1/messages', { messages }, from(`203.0.113.${i}`)));
  // Each counts as 20 requests.
  expect(statuses.of(200)).toBeLessThanOrEqual(statuses.windows * Math.floor(PER_KEY / 20));
  expect(statuses.of(200)).toBeGreaterThanOrEqual(1);
  expect(statuses.of(429)).toBe(12 - statuses.of(200));
});

it('the gateway never limits probes', async () => {
  const statuses = await flood(200, () =>
    new Api(gateway.url).call('GET', '/health/ready', undefined, from('192.0.2.1')),
  );
  expect(statuses.of(200)).toBe(200);
});

it('the gateway refuses bodies that are too large or too deep', async () => {
  const api = new Api(gateway.url, calm);
  const send = async (body: string): Promise<number> =>
    (await api.call('POST', '/v1/connections/a/messages', body, from('192.0.2.100'))).status;
  expect(await send(JSON.stringify({ directive: 'a', payload: 'a'.repeat(1_100_000) }))).toBe(413);
  expect(await send(`{"directive":"a","payload":${'['.repeat(500_000)}${']'.repeat(500_000)}}`)).toBe(422);
  expect(await send(`{"directive":"a","payload":${'{"a":'.repeat(101)}1${'}'.repeat(101)}}`)).toBe(422);
  // Admitted; but no ingester has built the registry yet.
  expect(await send(`{"directive":"a","payload":${'{"a":'.repeat(100)}1${'}'.repeat(100)}}`)).toBe(503);
  expect(await send('['.repeat(1_000_000))).toBe(400);
  const cookie = `Cookie: ${'a'.repeat(17_000)}`;
  const answer = await rawRequest(gateway.port, `GET /health/live HTTP/1.1\r\nHost: a\r\n${cookie}\r\n\r\n`);
  expect(statusOf(answer)).toBe(431);
});

it('the gateway answers 408 to callers that do not send their headers or their body in time', async () => {
  const head = `POST /v1/connections/a/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${calm}\r\n`;
  const answers = await Promise.all([
    rawRequest(other.port, 'GET /health/live HTTP/1.1\r\nHost: a\r\n'),
    rawRequest(other.port, `${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"directive":`),
  ]);
  expect(answers.map(statusOf)).toEqual([408, 408]);
});

it('the gateway closes connections beyond MAX_CONNECTIONS, and accepts new ones when some are closed', async () => {
  const sockets: Socket[] = [];
  const closed = await Promise.all(
    Array.from({ length: 400 }, async () => {
      const socket = connect(other.port, HOST);
      sockets.push(socket);
      // Connections within the limit are answered; the others are closed without a response.
      socket.write('GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n');
      return new Promise<boolean>((resolve) => {
        socket.once('data', () => resolve(false));
        socket.once('close', () => resolve(true));
        socket.once('error', () => resolve(true));
      });
    }),
  );
  expect(closed.filter(Boolean).length).toBeGreaterThanOrEqual(150);
  for (const socket of sockets) socket.destroy();
  const answer = await waitUntil(() => new Api(other.url, calm).call('GET', '/v1/connections/summary'));
  expect(answer.status).toBe(200);
});

it('the gateway limits requests while Redis is away', async () => {
  await redis.stop();
  const api = new Api(gateway.url, loud);
  const statuses = await flood(4 * PER_KEY, (i) => api.call('GET', '/v1/connections', undefined, from(`192.0.2.${i}`)));
  expect(statuses.of(503)).toBeLessThanOrEqual(statuses.windows * PER_KEY);
  expect(statuses.of(503)).toBeGreaterThanOrEqual(1);
  expect(statuses.of(429)).toBe(4 * PER_KEY - statuses.of(503));
});
