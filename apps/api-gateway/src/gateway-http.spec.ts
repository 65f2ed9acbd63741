/** Responses of a gateway to invalid and unusual requests, over raw sockets. */
import { connect } from 'node:net';
import { RegistryKeys, encodeConnection } from '@app/registry';
import { register as metrics } from 'prom-client';
import { Draining, closeRedis, connectRedis, type Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import { hostConnection } from '../../../test/support/connections.js';
import { GatewayApp, type RawAnswer } from '../../../test/support/gateway-app.js';
import { withRedis } from '../../../test/support/redis.js';
import { eventually, quiet, startRedis } from '../../../test/support/servers.js';
import { ProblemBody } from './http/problem.js';

const SHARDS = 4;
const keys = new RegistryKeys('cc');
let redis: Redis;
let url: string;
let gateway: GatewayApp;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

beforeAll(async () => {
  gateway = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: `${SHARDS}`, REQUEST_TIMEOUT: '2s' });
  await register('device');
});

afterAll(() => gateway.stop());

async function register(id: string): Promise<void> {
  const shard = shardOf(id, SHARDS);
  const connection = hostConnection(id, {
    state: 'offline',
    connected_at: 1,
    disconnected_at: 2,
    last_message_at: 1,
    offline_reason: 'goodbye',
  });
  await redis.hset(keys.connections(shard), id, encodeConnection(connection));
  await redis.zadd(keys.offline(shard, 'host', 'goodbye'), 0, id);
}

function request(method: string, path: string, headers: Record<string, string | number> = {}, body = ''): string {
  const all = { host: `127.0.0.1:${gateway.port}`, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

function post(path: string, type: string, body: string, more: Record<string, string> = {}): string {
  return request('POST', path, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...more }, body);
}

/** Expects a problem with a request id. @returns its kind */
function kindOf({ status, headers, body }: RawAnswer): string {
  expect(headers['content-type']).toBe('application/problem+json; charset=utf-8');
  const problem = ProblemBody.parse(JSON.parse(body));
  expect(problem.status).toBe(status);
  expect(headers['x-request-id']).toBe(problem.request_id);
  expect(headers['x-content-type-options']).toBe('nosniff');
  return problem.type.replace(/^.*:/, '');
}

const SEND = '/v1/connections/device/messages';

describe('every error of the gateway is a problem with a request id', () => {
  it.each([
    ['a path that is no percent-encoding', (): string => request('GET', '/v1/connections/%ff'), 400, 'bad-request'],
    ['a path with half an escape', (): string => request('GET', '/v1/connections/%'), 400, 'bad-request'],
    [
      'an id that is too long',
      (): string => request('GET', `/v1/connections/${'a'.repeat(9000)}`),
      414,
      'uri-too-long',
    ],
    [
      'headers that are too large',
      (): string => request('GET', '/', { x: 'a'.repeat(65_536) }),
      431,
      'headers-too-large',
    ],
    ['what is not HTTP', (): string => 'hello\r\n\r\n', 400, 'bad-request'],
    ['two lengths', (): string => request('POST', SEND, { 'content-length': '1, 2' }, '{}'), 400, 'bad-request'],
    ['two hosts', (): string => request('GET', '/v1/connections', { Host: 'elsewhere' }), 400, 'bad-request'],
    ['CONNECT', (): string => request('CONNECT', 'elsewhere:80'), 400, 'bad-request'],
    ['no host', (): string => 'GET /v1/connections HTTP/1.1\r\n\r\n', 400, 'bad-request'],
    [
      'an expectation',
      (): string => request('GET', '/v1/connections', { expect: 'wonders' }),
      417,
      'expectation-failed',
    ],
    ['headers that do not end', (): string => 'GET / HTTP/1.1\r\nhost: a\r\n', 408, 'request-timeout'],
    ['an unknown path', (): string => request('GET', '/v1/nowhere'), 404, 'not-found'],
  ])('answers %s with a problem', async (_, text, status, kind) => {
    const answer = await gateway.raw(text());
    expect([answer.status, kindOf(answer)]).toEqual([status, kind]);
  });

  it('answers a body that does not end with a problem under the id of its request', async () => {
    const head = { 'content-type': 'application/json', 'content-length': 100, 'x-request-id': 'too-slow' };
    const answer = await gateway.raw(request('POST', SEND, head, '{'));
    expect([answer.status, kindOf(answer), answer.headers['x-request-id']]).toEqual([
      408,
      'request-timeout',
      'too-slow',
    ]);
  });
});

it('the gateway never repeats a query, which may hold a secret, in a response or in the log', async () => {
  const paths = ['/v1/nowhere', '/v1/connections', '/v1/connections/device', '/v1/connections/%ff', SEND];
  for (const path of paths) {
    for (const query of ['token=SECRET_7f3', 'SECRET_7f3', 'limit=SECRET_7f3']) {
      const { body } = await gateway.raw(request('PATCH', `${path}?${query}`));
      expect(body).not.toContain('SECRET_7f3');
      expect((await gateway.raw(request('GET', `${path}?${query}`))).body).not.toContain('SECRET_7f3');
    }
  }
  expect(JSON.stringify(gateway.lines)).not.toContain('SECRET_7f3');
  expect(gateway.lines.length).toBeGreaterThan(10);
});

it.each([
  ['PUT', '/v1/connections/device', 'DELETE, GET, HEAD'],
  ['OPTIONS', '/v1/messages', 'GET, HEAD, POST'],
  ['PATCH', '/v1/connections/%C3%A9/messages', 'GET, HEAD, POST'],
  ['DELETE', '/v1/connections/summary/verify', 'POST'],
  ['TRACE', '/v1/cluster/sweeps/latest', 'GET, HEAD'],
])('the gateway answers %s %s with 405 and the methods of the path', async (method, path, allow) => {
  const answer = await gateway.raw(request(method, path));
  expect([answer.status, kindOf(answer), answer.headers['allow']]).toEqual([405, 'method-not-allowed', allow]);
});

describe('the gateway', () => {
  it.each([
    ['a form', 'application/x-www-form-urlencoded', 'directive=demo:ping'],
    ['plain text', 'text/plain', '{"directive":"a"}'],
    ['another JSON type', 'application/merge-patch+json', '{"directive":"a"}'],
    ['another charset', 'application/json; charset=utf-16', '{"directive":"a"}'],
    ['an unknown type', 'json', '{"directive":"a"}'],
  ])('answers 415 to a body of another media type: %s', async (_, type, body) => {
    const answer = await gateway.raw(post(SEND, type, body));
    expect([answer.status, kindOf(answer)]).toEqual([415, 'unsupported-media-type']);
    const other = await gateway.raw(post('/v1/connections/device/force-disconnect', type, 'reconnect_after=PT10S'));
    expect(other.status).toBe(415);
  });

  it('answers 415 to a body without a type, and to one that is compressed', async () => {
    expect((await gateway.raw(request('POST', SEND, { 'content-length': 2 }, '{}'))).status).toBe(415);
    const answer = await gateway.raw(post(SEND, 'application/json', 'zzz', { 'content-encoding': 'gzip' }));
    expect([answer.status, kindOf(answer), answer.headers['accept-encoding']]).toEqual([
      415,
      'unsupported-media-type',
      'identity',
    ]);
  });

  it('accepts a body that names its charset', async () => {
    for (const type of ['application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"']) {
      expect((await gateway.raw(post(SEND, type, '{"directive":"a"}'))).status).toBe(202);
    }
  });

  it('ignores an empty body of an operation without one, whatever its type', async () => {
    for (const type of ['application/json', 'text/plain', 'nonsense']) {
      const path = '/v1/messages/017f22e2-79b0-7abc-8000-000000000000';
      for (const more of [{}, { 'content-length': 0 }]) {
        const answer = await gateway.raw(request('DELETE', path, { 'content-type': type, ...more }));
        expect([type, answer.status]).toEqual([type, 404]);
      }
      const chunked = { 'content-type': type, 'transfer-encoding': 'chunked' };
      expect((await gateway.raw(request('DELETE', path, chunked, '0\r\n\r\n'))).status).toBe(
        type === 'nonsense' ? 415 : 404,
      );
    }
    const needed = await gateway.raw(post(SEND, 'application/json', ''));
    expect([needed.status, kindOf(needed)]).toEqual([400, 'malformed-json']);
  });

  it.each([
    ['is no JSON', Buffer.from('{"directive":')],
    ['is not UTF-8', Buffer.concat([Buffer.from('{"directive":"'), Buffer.from([0xff]), Buffer.from('"}')])],
  ])('answers 400 to a body that %s', async (_, body) => {
    const head = request('POST', SEND, { 'content-type': 'application/json', 'content-length': body.length });
    const answer = await gateway.raw(Buffer.concat([Buffer.from(head), body]));
    expect([answer.status, kindOf(answer)]).toEqual([400, 'malformed-json']);
  });

  it('reads a body after a byte order mark', async () => {
    const body = Buffer.from('\ufeff{"directive":1}');
    const head = request('POST', SEND, { 'content-type': 'application/json', 'content-length': body.length });
    const answer = await gateway.raw(Buffer.concat([Buffer.from(head), body]));
    expect([answer.status, kindOf(answer)]).toEqual([422, 'invalid']);
  });

  it('does not log an error if the sender breaks off the body', async () => {
    const before = gateway.lines.length;
    const head = { 'content-type': 'application/json', 'content-length': 100_000, 'x-request-id': 'broken-off' };
    const socket = connect(gateway.port, '127.0.0.1', () => socket.end(request('POST', SEND, head, '{')).destroySoon());
    socket.on('error', () => undefined);
    const line = await eventually('the request that broke off is logged', () => {
      const found = gateway.lines.slice(before).find((one) => one['request_id'] === 'broken-off');
      if (found === undefined) throw new Error('the request is not logged yet');
      return found;
    });
    expect(line).toMatchObject({ level: 'info', status: 400, problem: 'bad-request' });
  });

  it('sends 100 Continue only to a caller whose headers were accepted', async () => {
    const expecting = { expect: '100-continue', 'content-type': 'application/json' };
    const large = await gateway.raw(request('POST', SEND, { ...expecting, 'content-length': 1e9 }));
    expect([large.status, kindOf(large)]).toEqual([413, 'too-large']);
    const foreign = await gateway.raw(
      request('POST', SEND, { ...expecting, 'content-length': 2, host: 'evil.example' }),
    );
    expect([foreign.status, foreign.headers['connection']]).toEqual([403, 'close']);
    const body = '{"directive":"a"}';
    const wanted = request('POST', SEND, { ...expecting, 'content-length': body.length }, body);
    expect((await gateway.raw(wanted)).status).toBe(202);
  });
});

describe('the gateway, for the parameters of a request,', () => {
  it.each([
    ['/v1/connections/a%2Fb', { in: 'path', name: 'client_id' }],
    ['/v1/messages/123', { in: 'path', name: 'message_id' }],
    ['/v1/connections?limit=0', { in: 'query', name: 'limit' }],
    ['/v1/connections?colour=red', { in: 'query', name: 'colour' }],
  ])('names each wrong parameter with its place: %s', async (path, place) => {
    const answer = await gateway.raw(request('GET', path));
    expect([answer.status, kindOf(answer)]).toEqual([422, 'invalid']);
    const { errors, detail } = ProblemBody.parse(JSON.parse(answer.body));
    expect(errors).toMatchObject([place]);
    expect(errors?.[0]).not.toHaveProperty('pointer');
    expect(detail).toMatch(new RegExp(`^${place.in} parameter ${place.name}: `));
  });

  it.each(['0x10', '1e2', '%2B5', '%205', '5.0', '05', '', '1001'])(
    'refuses limit=%s, which is no whole number in range',
    async (limit) => {
      expect((await gateway.raw(request('GET', `/v1/connections?limit=${limit}`))).status).toBe(422);
    },
  );

  it('accepts the id of a message in capitals', async () => {
    const sent = await gateway.raw(post(SEND, 'application/json', '{"directive":"a"}'));
    const { message_id: id } = JSON.parse(sent.body) as { message_id: string };
    expect((await gateway.raw(request('GET', `/v1/messages/${id.toUpperCase()}`))).status).toBe(200);
  });
});

it('the gateway marks the repeated response to an Idempotency-Key, and no other', async () => {
  const send = (): Promise<RawAnswer> =>
    gateway.raw(post(SEND, 'application/json', '{"directive":"a"}', { 'idempotency-key': 'marked' }));
  const [first, second] = [await send(), await send()];
  expect([first.status, first.headers['idempotency-replayed']]).toEqual([202, undefined]);
  expect([second.status, second.headers['idempotency-replayed']]).toEqual([202, 'true']);
  expect(second.body).toBe(first.body);
});

async function bytesInProcess(): Promise<number | undefined> {
  const found = (await metrics.getMetricsAsJSON()).find(({ name }) => name === 'cloud_connector_body_bytes_in_process');
  return found?.values[0]?.value;
}

it('the gateway counts a chunked body as it arrives, and refuses it if there is no room for it', async () => {
  const env = { REDIS_URL: url, SHARD_COUNT: `${SHARDS}`, MAX_PAYLOAD_BYTES: '1024' };
  const limits = { MAX_BATCH_BYTES: '65536', BODY_BYTES_TOTAL: '65536', BODY_BYTES_PER_KEY: '65536' };
  const small = await GatewayApp.listen({ ...env, ...limits });
  const head = { 'content-type': 'application/json', 'transfer-encoding': 'chunked', host: 'localhost' };
  const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`;
  const held = connect(small.port, '127.0.0.1', () => held.write(request('POST', '/v1/messages', head, chunk)));
  held.on('error', () => undefined);
  await eventually('half of the budget is in use', async () => expect(await bytesInProcess()).toBe(0x8000));
  const refused = await small.raw(request('POST', '/v1/messages', head, chunk + chunk));
  expect([refused.status, refused.headers['retry-after']]).toEqual([429, '1']);
  held.destroy();
  await eventually('the budget is free again', async () => expect(await bytesInProcess()).toBe(0));
  await small.stop();
});

it('a gateway that stops answers 503 with the advice to ask another one', async () => {
  const stopping = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: `${SHARDS}` });
  stopping.app.get(Draining).onModuleDestroy();
  const call = await stopping.raw('GET /v1/connections HTTP/1.1\r\nhost: localhost\r\n\r\n');
  expect([call.status, kindOf(call), call.headers['retry-after'], call.headers['connection']]).toEqual([
    ...[503, 'unavailable', '1', 'close'],
  ]);
  await stopping.stop();
});

it('a gateway that stops closes the connection after a pending response', async () => {
  const stopping = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: `${SHARDS}` });
  const body = '{"directive":"a"}';
  const lines = ['content-type: application/json', `content-length: ${body.length}`, 'expect: 100-continue'];
  const head = [`POST ${SEND} HTTP/1.1`, `host: 127.0.0.1:${stopping.port}`, ...lines].join('\r\n');
  let answer = '';
  const socket = connect(stopping.port, '127.0.0.1', () => socket.write(`${head}\r\n\r\n`));
  socket.setEncoding('utf8').on('data', (data: string) => (answer += data));
  await eventually('the gateway has asked for the body', () => expect(answer).toContain('100 Continue'));
  stopping.app.get(Draining).onModuleDestroy();
  socket.write(body);
  await eventually('the response closes the connection', () =>
    expect(answer).toMatch(/^HTTP\/1.1 202 [^]*connection: close/im),
  );
  socket.destroy();
  await stopping.stop();
});

it('the gateway serves a requested sweep under its Location', async () => {
  const asked = await gateway.raw(request('POST', '/v1/cluster/sweeps'));
  const { sweep_id: id } = JSON.parse(asked.body) as { sweep_id: string };
  expect([asked.status, asked.headers['location']]).toEqual([202, `/v1/cluster/sweeps/${id}`]);
  const found = await gateway.raw(request('GET', `/v1/cluster/sweeps/${id.toUpperCase()}`));
  expect([found.status, JSON.parse(found.body)]).toEqual([200, { sweep_id: id, state: 'waiting', sweep: null }]);
  const none = await gateway.raw(request('GET', '/v1/cluster/sweeps/017f22e2-79b0-7abc-8000-000000000000'));
  expect([none.status, kindOf(none)]).toEqual([404, 'not-found']);
  expect((await gateway.raw(request('GET', '/v1/cluster/sweeps/newest'))).status).toBe(422);
});

describe('a gateway that is not ready', () => {
  it('answers 503 with the reasons, and serves no route of the API', async () => {
    const away = await GatewayApp.listen({ REDIS_URL: 'redis://127.0.0.1:1' }, { started: false });
    const ready = await away.raw('GET /health/ready HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(ready.status).toBe(503);
    expect(JSON.parse(ready.body)).toMatchObject({ status: 'error', error: { redis: { status: 'down' } } });
    const call = await away.raw('GET /v1/connections HTTP/1.1\r\nhost: localhost\r\n\r\n');
    expect([call.status, kindOf(call), call.headers['retry-after']]).toEqual([503, 'unavailable', '1']);
    expect(away.lines.filter(({ level, err }) => level === 'error' && err === undefined)).toEqual([]);
    await away.stop();
  });

  it('serves the API only after the key space has been read', async () => {
    const early = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: `${SHARDS}` }, { started: false });
    const call = await early.raw('GET /v1/connections/device HTTP/1.1\r\nhost: localhost\r\n\r\n');
    expect([call.status, kindOf(call)]).toEqual([503, 'unavailable']);
    await early.stop();
  });
});

describe('the gateway, for a request that it does not serve,', () => {
  const call = 'GET /v1/connections/device HTTP/1.1\r\nhost: localhost\r\n\r\n';

  function lineOf({ lines }: GatewayApp, status: number): Promise<Record<string, unknown>> {
    return eventually('the request is logged', () => {
      const [line, ...more] = lines.filter((one) => one['status'] === status);
      if (line === undefined) throw new Error('the request is not logged yet');
      expect(more).toEqual([]);
      return line;
    });
  }

  it('logs a warning without a stack if the gateway is not ready', async () => {
    const early = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: `${SHARDS}` }, { started: false });
    await early.raw(call);
    const line = await lineOf(early, 503);
    expect(line).toMatchObject({ level: 'warn', message: 'request refused', problem: 'unavailable' });
    expect(JSON.stringify(line)).not.toContain('stack');
    await early.stop();
  });

  it('logs a warning with the cause but without a stack if Redis is away', async () => {
    const server = await startRedis();
    const cut = await GatewayApp.listen({ REDIS_URL: server.url, SHARD_COUNT: `${SHARDS}` });
    await server.stop();
    await cut.raw(call);
    const line = await lineOf(cut, 503);
    expect(line).toMatchObject({ level: 'warn', message: 'request refused', problem: 'unavailable' });
    expect(line['cause']).toMatch(/^RedisUnavailableError: /);
    expect(JSON.stringify(line)).not.toContain('stack');
    await cut.stop();
  });

  it('logs an error with a stack if the gateway is at fault', async () => {
    const server = await startRedis();
    const withScriptError = await GatewayApp.listen({ REDIS_URL: server.url, SHARD_COUNT: `${SHARDS}` });
    const broken = connectRedis(server.url, { name: 'spec-broken', whenAway: 'wait' }, quiet);
    await broken.set(keys.connections(shardOf('device', SHARDS)), 'no hash');
    await withScriptError.raw(call);
    const line = await lineOf(withScriptError, 500);
    expect(line).toMatchObject({ level: 'error', message: 'request failed', problem: 'internal' });
    expect(line['err']).toMatchObject({ stack: expect.stringContaining('WRONGTYPE') as string });
    await Promise.all([withScriptError.stop(), closeRedis(broken)]);
    await server.stop();
  });
});
