/** Profiles: what is stored, with which permissions, and what wins. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CliServer, runCli, type CliResult } from '../../../../test/support/cli.js';

const [server, other] = [new CliServer(), new CliServer()];
let dir: string;
let credentials: (string | undefined)[];

beforeAll(() => Promise.all([server.start(), other.start()]));
afterAll(() => Promise.all([server.stop(), other.stop()]));

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cloud-connector-profiles-'));
  credentials = [];
  for (const each of [server, other]) {
    each.answer = (response, { headers }) => {
      credentials.push(headers.authorization);
      response.end(JSON.stringify({ id: 'key:a', account: null, scopes: ['connections:read'] }));
    };
  }
  for (const name of ['one', 'two']) writeFileSync(join(dir, name), `secret-${name}\n`, { mode: 0o600 });
});
afterEach(() => rmSync(dir, { recursive: true }));

const file = (): string => join(dir, 'config', 'cloud-connector', 'profiles.json');

function cli(line: string, env: Record<string, string> = {}): Promise<CliResult> {
  return runCli(line.split(' '), { env: { XDG_CONFIG_HOME: join(dir, 'config'), ...env } });
}

it('login checks the key, says who one is, and stores the path for this user alone', async () => {
  const { exit, out, err } = await cli(`login --url ${server.url} --token-file ${dir}/one`);
  expect([exit, err]).toEqual([0, '']);
  expect(out).toBe(`Logged in to ${server.url} as key:a, with connections:read. It is the profile "default".\n`);
  expect(JSON.parse(readFileSync(file(), 'utf8'))).toEqual({
    current: 'default',
    profiles: { default: { url: server.url, tokenFile: join(dir, 'one') } },
  });
  expect(readFileSync(file(), 'utf8')).not.toContain('secret');
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(statSync(join(file(), '..')).mode & 0o777).toBe(0o700);
  expect((await cli('whoami')).exit).toBe(0);
  expect(credentials).toEqual(['Bearer secret-one', 'Bearer secret-one']);
});

it('login stores nothing if the service refuses the key, or if the key is in the environment', async () => {
  server.answerWith({ type: 'x:unauthenticated', title: 'No', status: 401, detail: 'no', request_id: 'r' }, 401);
  expect((await cli(`login --url ${server.url} --token-file ${dir}/one`)).exit).toBe(3);
  expect(await cli(`login --url ${server.url}`, { CLOUD_CONNECTOR_TOKEN: 'secret' })).toMatchObject({ exit: 2 });
  expect((await cli('login')).exit).toBe(2);
  expect((await cli(`login --url ${server.url} --profile ../x`)).exit).toBe(2);
  expect(existsSync(file())).toBe(false);
});

it('login says if the gateway takes no keys', async () => {
  const lines = [`login --url ${server.url} --token-file ${dir}/one`, `login --url ${server.url}`];
  for (const id of ['key:a', 'anybody']) {
    server.answerWith({ id, account: null, scopes: ['connections:read'] });
    const notes = await Promise.all(lines.map(async (line) => (await cli(line)).err));
    const note = `${server.url} takes no keys: it requires no credentials, and has not looked at ${dir}/one.\n`;
    expect(notes).toEqual([id === 'anybody' ? note : '', '']);
  }
});

it('login says if other users can read the key', async () => {
  writeFileSync(join(dir, 'open'), 'secret', { mode: 0o644 });
  expect((await cli(`login --url ${server.url} --token-file ${dir}/open`)).err).toContain('chmod 600');
});

it('options win over the environment, and that over the current profile; the key of a profile goes to its address only', async () => {
  await cli(`login --url ${server.url} --token-file ${dir}/one --profile a`);
  await cli(`login --url ${other.url} --token-file ${dir}/two --profile b`);
  const sent = async (line: string, env: Record<string, string> = {}): Promise<unknown> => {
    credentials = [];
    await cli(line, env);
    return credentials[0];
  };
  expect(await sent('whoami')).toBe('Bearer secret-two');
  expect(await sent('whoami --profile a')).toBe('Bearer secret-one');
  expect(await sent('whoami', { CLOUD_CONNECTOR_PROFILE: 'a' })).toBe('Bearer secret-one');
  expect(await sent('whoami', { CLOUD_CONNECTOR_TOKEN: 'env' })).toBe('Bearer env');
  expect(await sent('whoami --profile a', { CLOUD_CONNECTOR_TOKEN: 'env', CLOUD_CONNECTOR_URL: other.url })).toBe(
    'Bearer secret-one',
  );
  expect(await sent(`whoami --token-file ${dir}/two --profile a`)).toBe('Bearer secret-two');
  // Another address does not get the key of the profile.
  credentials = ['unset'];
  await cli(`whoami --profile a --url ${other.url}`);
  expect(credentials.at(-1)).toBeUndefined();
  credentials = ['unset'];
  await cli('whoami', { CLOUD_CONNECTOR_URL: other.url });
  expect(credentials.at(-1)).toBeUndefined();
});

it('profiles are listed, chosen and removed', async () => {
  await cli(`login --url ${server.url} --token-file ${dir}/one --profile a`);
  await cli(`login --url ${other.url} --profile b`);
  expect((await cli('profiles')).out).toMatch(/^a +http:.*one\nb +yes +http:.* -\n$/m);
  expect((await cli('profiles use a')).exit).toBe(0);
  expect((await cli('profiles list --json')).out).toContain('{"name":"a","current":true');
  expect(await cli('profiles use c')).toMatchObject({
    exit: 2,
    err: expect.stringContaining('there are a, b') as string,
  });
  expect((await cli('whoami --profile c')).exit).toBe(2);
  expect((await cli('logout')).out).toBe(
    `The profile "a" is removed. The file of its key is still there: ${join(dir, 'one')}\n`,
  );
  expect(existsSync(join(dir, 'one'))).toBe(true);
  expect((await cli('logout')).exit).toBe(2);
  expect(await cli('logout --profile b')).toMatchObject({ exit: 0, out: 'The profile "b" is removed.\n' });
  await cli(`login --url ${server.url} --token-file ${dir}/two --profile c`);
  rmSync(join(dir, 'two'));
  expect(await cli('logout')).toMatchObject({ exit: 0, out: 'The profile "c" is removed.\n' });
  expect((await cli('profiles list --json')).out).toBe('');
});

it('a file that is none of profiles is named, and is in the way of nothing that needs no profile', async () => {
  await cli(`login --url ${server.url}`);
  for (const text of ['{', '[]', '{"current":1,"profiles":{}}', '{"current":null,"profiles":{"a":{}}}']) {
    writeFileSync(file(), text);
    expect(await cli('whoami')).toMatchObject({ exit: 2, err: expect.stringContaining(file()) as string });
    expect((await cli(`whoami --url ${server.url}`)).exit).toBe(0);
  }
});
