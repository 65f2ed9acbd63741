/** Apps refuse to start with unsafe settings; without credentials a gateway serves its own machine only. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings } from '@app/platform';
import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { ROOT } from '../../scripts/setup.mjs';
import { startApp, startRedis, stopAll } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { rawRequest, refusedStart, startGateway, statusOf } from './support/gateway.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-start-'));

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

const issuer = { JWT_ISSUER: 'https://a.example', JWT_AUDIENCE: 'b' };

it.each([
  ['no credentials in production', { NODE_ENV: 'production' }, 'API_KEYS_FILE: must be set with NODE_ENV=production'],
  ['no credentials beyond loopback', { HOST: '0.0.0.0' }, 'HOST: must be loopback'],
  ['no credentials and the name of another host', { HOST: 'localhost.example.com' }, 'HOST: must be loopback'],
  ['a key file that does not exist', { API_KEYS_FILE: join(dir, 'none') }, 'API_KEYS_FILE: must name a file'],
  ['a token issuer without JWT_JWKS_URL', issuer, 'JWT_JWKS_URL: must be set too'],
  [
    'a JWT_JWKS_URL with plain HTTP',
    { ...issuer, JWT_JWKS_URL: 'http://a.example/jwks' },
    'JWT_JWKS_URL: must be https',
  ],
])('the settings of the gateway are refused with %s', (_, env: Record<string, string>, why) => {
  expect(() => loadSettings(gatewaySettings, { REDIS_URL: 'redis://127.0.0.1:1', ...env })).toThrow(why);
});

it.each(['api-gateway', 'status-ingester', 'dispatcher'])(
  '%s logs that its Node is too old even if settings are missing and dependencies cannot be imported',
  (app) => {
    const older = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.18.3" } });';
    const resolve =
      'export const resolve = (name, context, next) => { if (/^[@a-z]/.test(name) && !/^(node|file):/.test(name)) throw new Error(name); return next(name, context); };';
    const broken = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(resolve)}");`;
    const args = [
      '--import',
      `data:text/javascript,${encodeURIComponent(broken + older)}`,
      join(ROOT, `dist/apps/${app}/src/main.js`),
    ];
    const { status, stdout } = spawnSync(process.execPath, args, { env: { PATH: process.env.PATH }, encoding: 'utf8' });
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      level: 'fatal',
      message: expect.stringMatching(/^Node 20\.18\.3 cannot run/) as string,
    });
  },
);

it('the gateway does not start in production without credentials or with an invalid key file', async () => {
  const broken = join(dir, 'broken.json');
  writeFileSync(broken, '{"keys":[{"id":"a","sha256":"no digest","scopes":["connections:read"]}]}');
  const [open, unreadable] = await Promise.all([
    refusedStart(dir, 'open', { NODE_ENV: 'production' }),
    refusedStart(dir, 'unreadable', { NODE_ENV: 'production', API_KEYS_FILE: broken }),
  ]);
  expect(open).toContain('API_KEYS_FILE: must be set');
  expect(unreadable).toContain('keys.0.sha256: must be the SHA-256 of the key');
  expect(unreadable).not.toContain('no digest');
});

it('a gateway without credentials refuses pages in a browser on the same machine', async () => {
  const redis = await startRedis({ dir });
  const gateway = await startApp('api-gateway', { dir, env: { NODE_ENV: 'development', REDIS_URL: redis.url } });
  const at = `127.0.0.1:${gateway.port}`;
  const status = async (host: string, more = ''): Promise<number> =>
    statusOf(await rawRequest(gateway.port, `GET /v1/connections HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`));
  expect(await status(at)).toBe(200);
  expect(await status(`localhost:${gateway.port}`)).toBe(200);
  expect(await status(at, `Origin: http://${at}\r\n`)).toBe(200);
  // A name of the attacker that resolves to loopback; a page of another origin; a page without an origin.
  expect(await status('evil.example.com')).toBe(403);
  expect(await status('127.0.0.1.evil.example.com')).toBe(403);
  expect(await status(at, 'Origin: https://evil.example.com\r\n')).toBe(403);
  expect(await status(at, 'Origin: null\r\n')).toBe(403);
});

it('the key command makes a key, shows it once, and revokes it', async () => {
  const file = join(dir, 'keys.json');
  const command = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [join(ROOT, 'dist/apps/api-gateway/src/key.js'), ...args, '--file', file], {
      encoding: 'utf8',
    });
  expect(command('list')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('"npm run key -- create') as string,
  });
  expect(command('create', '--help')).toEqual(
    expect.objectContaining({ status: 0, stdout: expect.stringMatching(/^npm run key -- create --id ID/) as string }),
  );
  const made = command('create', '--id', 'ops', '--scopes', 'connections:read,messages:read');
  expect(made.status).toBe(0);
  const key = made.stdout.trim();
  expect(key).toMatch(/^cck_[A-Za-z0-9_-]{43}$/);
  expect(readFileSync(file, 'utf8')).not.toContain(key);
  expect(made.stderr).toBe(`The digest of the key "ops" is in ${file}; the key itself is written once, to stdout.\n`);
  expect(command('list').stdout).toBe('ops\t-\tconnections:read,messages:read\n');
  expect(command('create', '--id', 'ops', '--scopes', 'all')).toMatchObject({ status: 1 });
  expect(command('create', '--id', 'x', '--scopes', 'connections:write')).toMatchObject({ status: 1 });

  const out = join(dir, 'app.key');
  const written = command('create', '--id', 'app', '--scopes', 'all', '--out', out);
  expect(written).toMatchObject({
    status: 0,
    stdout: '',
    stderr: expect.stringMatching(/once, to .*app\.key\.\n$/) as string,
  });
  const secret = readFileSync(out, 'utf8');
  expect([secret, statSync(out).mode & 0o777]).toEqual([expect.stringMatching(/^cck_[A-Za-z0-9_-]{43}\n$/), 0o600]);
  expect(command('revoke', '--id', 'app').status).toBe(0);
  // A file that is there stays as it is, and no key is made.
  expect(command('create', '--id', 'app', '--scopes', 'all', '--out', out)).toMatchObject({ status: 1, stdout: '' });
  expect([readFileSync(out, 'utf8'), command('list').stdout]).toEqual([
    secret,
    'ops\t-\tconnections:read,messages:read\n',
  ]);

  const redis = await startRedis({ dir, name: 'redis-keys' });
  const gateway = await startGateway(dir, 'gateway-keys', { REDIS_URL: redis.url, API_KEYS_FILE: file });
  const api = new Api(gateway.url, key);
  expect((await api.call('GET', '/v1/connections')).status).toBe(200);
  expect((await api.call('GET', '/v1/cluster')).status).toBe(403);
  expect(command('revoke', '--id', 'ops').status).toBe(0);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ keys: [] });
});

it('the key command keeps owner and mode of a file that it changes', () => {
  const file = join(dir, 'kept.json');
  const change = (...args: string[]): void => {
    const program = join(ROOT, 'dist/apps/api-gateway/src/key.js');
    expect(spawnSync(process.execPath, [program, ...args, '--file', file]).status).toBe(0);
  };
  const access = (): number[] => {
    const about = statSync(file);
    return [about.uid, about.gid, about.mode & 0o777];
  };
  change('create', '--id', 'first', '--scopes', 'all');
  const [user = 0, group = 0, rights] = access();
  expect(rights).toBe(0o644);
  // Root alone can give a file away.
  const given = user === 0 ? 65_534 : group;
  chownSync(file, user, given);
  chmodSync(file, 0o640);
  change('create', '--id', 'second', '--scopes', 'all');
  expect(access()).toEqual([user, given, 0o640]);
  change('revoke', '--id', 'first');
  expect(access()).toEqual([user, given, 0o640]);
});
