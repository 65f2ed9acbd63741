/** Attempts to use the REST API without the credentials for it. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnsecuredJWT, exportJWK, generateKeyPair, type CryptoKey } from 'jose';
import { ProblemBody } from '../../apps/api-gateway/src/http/problem.js';
import { SCOPES, includesScope, type Scope } from '../../apps/api-gateway/src/access/scopes.js';
import { freePort, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type ProblemView } from '../support/api.js';
import { AUDIENCE, ISSUER, startIssuer, type Issuer } from './support/issuer.js';
import { KeyRing, rawRequest, startGateway, statusOf, type RunningGateway } from './support/gateway.js';

interface Operation {
  method: string;
  path: string;
  /** Undefined if every caller may use it. */
  scope: Scope | undefined;
  security: unknown;
}

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-access-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const everything = ring.add({ id: 'everything', scopes: [...SCOPES] });
const tokens: string[] = [];
let issuer: Issuer;
let gateway: RunningGateway;
let operations: Operation[];

beforeAll(async () => {
  const [redis, started] = await Promise.all([startRedis({ dir }), startIssuer()]);
  issuer = started;
  gateway = await startGateway(dir, 'gateway', {
    REDIS_URL: redis.url,
    API_KEYS_FILE: ring.path,
    ...issuer.settings,
    // No ingester runs here, so no command is replied to.
    COMMAND_TIMEOUT: '100ms',
  });
  operations = await readOperations(gateway.management);
});

afterAll(async () => {
  await issuer.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function readOperations(url: string): Promise<Operation[]> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { security: unknown; 'x-required-scope'?: Scope }>>;
  };
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security, 'x-required-scope': scope }]) => ({
      method: method.toUpperCase(),
      path: path.replace('{client_id}', 'a-client').replace('{message_id}', '01890a5d-ac96-774b-bcce-b302099a8057'),
      scope,
      security,
    })),
  );
}

function as(credentials?: string): Api {
  return new Api(gateway.url, credentials);
}

describe('every operation of the API', () => {
  it('declares the scope and the credentials that it requires in the OpenAPI document', () => {
    expect(operations.length).toBeGreaterThanOrEqual(11);
    for (const { path, scope, security } of operations) {
      if (path === '/v1/whoami') expect(scope).toBeUndefined();
      else expect(SCOPES).toContain(scope);
      const needed = scope === undefined ? [] : [scope];
      expect(security).toEqual(expect.arrayContaining([{ api_key: needed }, { token: needed }]));
    }
  });

  it('answers 401 to a request without credentials', async () => {
    for (const { method, path } of operations) {
      const { status, headers, body } = await as().call<ProblemView>(method, path);
      expect([method, path, status]).toEqual([method, path, 401]);
      expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      expect(headers.get('www-authenticate')).toBe('Bearer realm="cloud-connector"');
      ProblemBody.parse(body);
    }
  });

  it('answers 403 to a key with every scope except the required one, and accepts a key with only that one', async () => {
    for (const scope of SCOPES) {
      ring.add({
        id: `without-${scope.replace(':', '-')}`,
        scopes: SCOPES.filter((one) => !includesScope(new Set([one]), scope)),
      });
      ring.add({ id: `only-${scope.replace(':', '-')}`, scopes: [scope] });
    }
    const [, ...keys] = ring.all;
    await untilKnown(keys.at(-1) ?? '');
    for (const { method, path, scope } of operations) {
      if (scope === undefined) continue;
      const at = SCOPES.indexOf(scope);
      const without = await as(keys[2 * at]).call<ProblemView>(method, path);
      expect([method, path, without.status]).toEqual([method, path, 403]);
      expect(without.headers.get('www-authenticate')).toContain(`error="insufficient_scope", scope="${scope}"`);
      ProblemBody.parse(without.body);
      const authorization = `Bearer ${keys[2 * at + 1]}`;
      const only = await fetch(gateway.url + path, { method, headers: { authorization } });
      // The event stream does not end by itself.
      await only.body?.cancel();
      expect([401, 403]).not.toContain(only.status);
    }
  });
});

async function untilKnown(key: string): Promise<void> {
  await waitUntil(async () => {
    const { status } = await as(key).call('GET', '/v1/nowhere');
    if (status === 401) throw new Error('the gateway does not know the key yet');
  });
}

it.each([
  ['nothing after the scheme', 'Bearer '],
  ['another scheme', `Basic ${Buffer.from(`everything:${everything}`).toString('base64')}`],
  ['the key without a scheme', everything],
  ['the digest that the file holds', `Bearer ${createHash('sha256').update(everything).digest('hex')}`],
  ['the id of the key', 'Bearer everything'],
  ['a part of the key', `Bearer ${everything.slice(0, -1)}`],
  ['more than the key', `Bearer ${everything}a`],
  ['the key in upper case', `Bearer ${everything.toUpperCase()}`],
  ['two keys', `Bearer ${everything}, Bearer ${everything}`],
  ['the name of a member of every object', 'Bearer __proto__'],
  ['a very long key', `Bearer ${'a'.repeat(9000)}`],
])('the gateway answers 401 to %s as credentials', async (_, authorization) => {
  const { status, body } = await as().call<ProblemView>('GET', '/v1/connections', undefined, { authorization });
  expect(status).toBe(401);
  expect(body.type).toBe('urn:cloud-connector:problem:unauthenticated');
});

it('the gateway refuses a request with two Authorization headers, whichever of them is valid', async () => {
  for (const [first, second] of [
    [everything, 'wrong'],
    ['wrong', everything],
    [everything, everything],
  ]) {
    const headers = `Authorization: Bearer ${first}\r\nauthorization: Bearer ${second}\r\n`;
    const answer = await rawRequest(gateway.port, `GET /v1/connections HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
    expect(statusOf(answer)).toBe(401);
  }
});

it('the gateway accepts credentials in the Authorization header only', async () => {
  for (const query of [`access_token=${everything}`, `api_key=${everything}`, `authorization=Bearer ${everything}`]) {
    expect((await as().call('GET', `/v1/connections?${query}`)).status).toBe(401);
  }
  for (const name of ['cookie', 'x-api-key', 'proxy-authorization', 'x-authorization']) {
    const { status } = await as().call('GET', '/v1/connections', undefined, { [name]: `Bearer ${everything}` });
    expect(status).toBe(401);
  }
});

it.each([
  '//v1/connections',
  '/v1//connections',
  '/v1/connections/',
  '/v1/connections;a=b',
  '/V1/connections',
  '/v1/./connections',
  '/docs/../v1/connections',
  '/health/live/../../v1/connections',
  '/docs%2f..%2fv1/connections',
  '/%76%31/connections',
  '/v1/connections%00',
  '/v1/connections#/health/live',
  'http://127.0.0.1/v1/connections',
  '/nowhere',
])('the path %s does not bypass the check of credentials', async (path) => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'DELETE', 'PATCH']) {
    const answer = await rawRequest(gateway.port, `${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
    expect([400, 401, 404]).toContain(statusOf(answer));
    expect(answer).not.toContain('access-control-allow');
  }
});

it('the gateway answers an unknown caller before it reads the body', async () => {
  const head = `POST /v1/connections/a/messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`;
  const answer = await rawRequest(gateway.port, `${head}Content-Length: 1000000\r\n\r\n{"directive":`);
  expect(statusOf(answer)).toBe(401);
});

describe('a token', () => {
  async function statusWith(token: string): Promise<number> {
    tokens.push(token);
    return (await as(token).call('GET', '/v1/connections')).status;
  }

  it('gives access to what its scopes allow, in any form in which issuers write scopes', async () => {
    expect(await statusWith(await issuer.sign({}))).toBe(200);
    expect(await statusWith(await issuer.sign({ scope: ['openid', 'connections:read'] }))).toBe(200);
    expect(await statusWith(await issuer.sign({ scope: undefined, scp: ['connections:read'] }))).toBe(200);
    expect(await statusWith(await issuer.sign({ scope: 'openid messages:read' }))).toBe(403);
    expect(await statusWith(await issuer.sign({ scope: undefined }))).toBe(403);
    expect(await statusWith(await issuer.sign({ scope: { 'connections:read': true } }))).toBe(403);
  });

  it.each([
    ['for another service', { aud: 'another' }],
    ['for no service', { aud: undefined }],
    ['of another issuer', { iss: 'https://evil.example.com/' }],
    ['of no issuer', { iss: undefined }],
    ['that has expired', { exp: Math.floor(Date.now() / 1000) - 60 }],
    ['that never expires', { exp: undefined }],
    ['that is not valid yet', { nbf: Math.floor(Date.now() / 1000) + 600 }],
    ['without a subject', { sub: undefined }],
    ['with an empty subject', { sub: '' }],
    ['with a subject that is too long to log', { sub: 'a'.repeat(257) }],
    ['with a list of accounts', { account: ['a', 'b'] }],
    ['with an empty account', { account: '' }],
    ['with null as its account', { account: null }],
  ])('is refused if it is one %s', async (_, claims) => {
    expect(await statusWith(await issuer.sign(claims))).toBe(401);
  });

  it('is refused if the issuer did not sign it', async () => {
    const foreign = await generateKeyPair('RS256', { extractable: true });
    expect(await statusWith(await issuer.sign({}, {}, foreign.privateKey))).toBe(401);
    expect(await statusWith(await issuer.sign({}, { kid: 'two' }, foreign.privateKey))).toBe(401);
    expect(await statusWith(await issuer.sign({}, { kid: '../../etc/passwd' }, foreign.privateKey))).toBe(401);
    const jwk = await exportJWK(foreign.publicKey);
    expect(await statusWith(await issuer.sign({}, { jwk }, foreign.privateKey))).toBe(401);
    const jku = 'http://127.0.0.1:1/jwks';
    expect(await statusWith(await issuer.sign({}, { jku, kid: 'two' }, foreign.privateKey))).toBe(401);
    const [header, , signature] = (await issuer.sign({})).split('.');
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'a', exp: 4_102_444_800, scope: 'connections:read' };
    const altered = Buffer.from(JSON.stringify(claims)).toString('base64url');
    expect(await statusWith(`${header}.${altered}.${signature}`)).toBe(401);
    expect(await statusWith(`${header}.${altered}.`)).toBe(401);
  });

  it('is refused without a signature, or if it is signed with a key that everybody knows', async () => {
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'a', exp: 4_102_444_800, scope: 'connections:read' };
    expect(await statusWith(new UnsecuredJWT(claims).encode())).toBe(401);
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'one' })).toString('base64url');
    expect(await statusWith(`${none}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.AAAA`)).toBe(401);
    const secret = new TextEncoder().encode(JSON.stringify(issuer.publicJwk));
    expect(await statusWith(await issuer.sign({}, { alg: 'HS256' }, secret))).toBe(401);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(await statusWith(await issuer.sign({}, { alg: 'ES256' }, privateKey as unknown as CryptoKey))).toBe(401);
  });

  it('that names an unknown key does not make the gateway ask the issuer each time', async () => {
    const foreign = await generateKeyPair('RS256');
    const before = issuer.asked();
    for (let i = 0; i < 20; i++) await statusWith(await issuer.sign({}, { kid: `made-up-${i}` }, foreign.privateKey));
    expect(issuer.asked() - before).toBeLessThanOrEqual(1);
  });
});

describe('the key file', () => {
  it('is read again while the gateway runs, if a key is added or revoked', async () => {
    const key = ring.add({ id: 'late', scopes: ['connections:read'] });
    await untilKnown(key);
    expect((await as(key).call('GET', '/v1/connections')).status).toBe(200);
    ring.revoke('late');
    await waitUntil(async () => {
      const { status } = await as(key).call('GET', '/v1/connections');
      if (status !== 401) throw new Error(`the revoked key is still answered with ${status}`);
    });
    expect((await as(everything).call('GET', '/v1/connections')).status).toBe(200);
  });

  it.each([
    ['is not JSON', '{"keys": ['],
    [
      'misspells a member',
      JSON.stringify({ keys: [{ id: 'a', sha256: '0'.repeat(64), scopes: SCOPES, acount: 'b' }] }),
    ],
    [
      'names a scope that does not exist',
      JSON.stringify({ keys: [{ id: 'a', sha256: '0'.repeat(64), scopes: ['*'] }] }),
    ],
    ['is empty', ''],
  ])('changes nothing if it %s, and the gateway logs it, and that the former one is back', async (_, text) => {
    const lines = (part: string): number => readLog().split(part).length;
    const [refusals, reads] = [lines('API_KEYS_FILE is invalid'), lines('API_KEYS_FILE read again')];
    ring.write(text);
    await waitUntil(() => expect(lines('API_KEYS_FILE is invalid')).toBeGreaterThan(refusals));
    expect((await as(everything).call('GET', '/v1/connections')).status).toBe(200);
    ring.write();
    await waitUntil(() => expect(lines('API_KEYS_FILE read again')).toBeGreaterThan(reads));
  });
});

it('the audit log has a line for each change and for each refused attempt', async () => {
  const reader = ring.add({ id: 'reader', scopes: ['connections:read'] });
  await untilKnown(reader);
  const path = '/v1/connections/a-client/force-disconnect';
  const headers = { 'x-request-id': 'audited' };
  // No ingester owns the shard here, so the command is stored and its outcome is unknown.
  expect((await as(everything).call('POST', path, { reconnect_after: 'never' }, headers)).status).toBe(503);
  expect((await as(reader).call('POST', path, { reconnect_after: 'never' }, headers)).status).toBe(403);
  const nobody = await as().call('POST', '/v1/connections/a-client/messages', { directive: 'a' }, headers);
  expect(nobody.status).toBe(401);
  const send = { directive: 'rhc:work', payload: 'not for the log' };
  expect((await as(everything).send('a-client', send, headers)).status).toBe(503);
  expect((await as(reader).send('a-client', send, headers)).status).toBe(403);
  const batch = { messages: [{ client_id: 'a-client', ...send }, {}] };
  expect((await as(everything).call('POST', '/v1/messages', batch, headers)).status).toBe(200);
  const lines = await waitUntil(() => {
    const found = readLog()
      .split('\n')
      .filter((line) => line.includes('"audited"'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    if (found.filter(({ message }) => message === 'audit').length < 7) throw new Error('not all lines are written yet');
    return found;
  });
  const act = { audit: true, message: 'audit', action: 'connection.force_disconnect', client_id: 'a-client' };
  const from = { address: '127.0.0.1', request_id: 'audited' };
  const sent = { ...act, action: 'message.send' };
  for (const line of [
    { ...act, ...from, caller: 'key:everything', outcome: 'unavailable', status: 503, reconnect_after: 'never' },
    { ...act, ...from, caller: 'key:reader', outcome: 'forbidden', status: 403 },
    { ...sent, ...from, outcome: 'unauthenticated', status: 401 },
    { ...sent, ...from, caller: 'key:everything', outcome: 'unavailable', status: 503, directive: 'rhc:work' },
    { ...sent, ...from, caller: 'key:reader', outcome: 'forbidden', status: 403 },
    {
      audit: true,
      message: 'audit',
      action: 'message.send',
      caller: 'key:everything',
      outcome: 'invalid',
      status: 422,
    },
  ]) {
    expect(lines).toContainEqual(expect.objectContaining(line));
  }
  expect(JSON.stringify(lines)).not.toContain('not for the log');
  expect(lines).toContainEqual(
    expect.objectContaining({ message: 'request refused', caller: 'key:reader', status: 403, path }),
  );
});

it('the gateway answers 503 to tokens if the keys of the issuer cannot be fetched, and still accepts API keys', async () => {
  const redis = await startRedis({ dir, name: 'redis-2' });
  const alone = await startGateway(dir, 'gateway-alone', {
    REDIS_URL: redis.url,
    API_KEYS_FILE: ring.path,
    JWT_ISSUER: ISSUER,
    JWT_AUDIENCE: AUDIENCE,
    JWT_JWKS_URL: `http://127.0.0.1:${await freePort()}/jwks`,
  });
  const refused = await new Api(alone.url, await issuer.sign({})).call<ProblemView>('GET', '/v1/connections');
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('5');
  expect((await new Api(alone.url, everything).call('GET', '/v1/connections')).status).toBe(200);
  await Promise.all([alone.stop(), redis.stop()]);
});

it('no key and no token is in a log, a response or the metrics', async () => {
  const metrics = await (await fetch(`${gateway.management}/metrics`)).text();
  const { body } = await as(`${everything}x`).call('GET', '/v1/connections');
  const texts = [readLog(), metrics, JSON.stringify(body)].join('\n');
  const secrets = [...ring.all, ...tokens.map((token) => token.split('.')[2] ?? '').filter((text) => text.length > 20)];
  expect(secrets.length).toBeGreaterThan(30);
  for (const secret of secrets) expect(texts.includes(secret)).toBe(false);
});

function readLog(): string {
  return readFileSync(gateway.log, 'utf8');
}
