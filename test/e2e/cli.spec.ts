/** The command-line tool at a running system, as people and as scripts use it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device, demoWork } from '../../examples/device/device.mjs';
import { ROOT } from '../../scripts/setup.mjs';
import { startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-cli-'));
let stack: Awaited<ReturnType<typeof startStack>>;
let api: Api;
let device: TestClient;

beforeAll(async () => {
  stack = await startStack({ dir, env: { EVENT_SETTLE: '0s' } });
  api = new Api(stack.gateway.url);
  device = await TestClient.connect(stack.mosquitto.url, 'cli-1');
  await device.shakeHands();
  await api.untilConnection('cli-1', ({ state }) => state === 'online');
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

interface Run {
  child: ChildProcess;
  out: string;
  err: string;
  ended: Promise<number | null>;
}

function start(...args: string[]): Run {
  const env = { ...process.env, CLOUD_CONNECTOR_URL: stack.gateway.url, XDG_CONFIG_HOME: join(dir, 'config') };
  const child = spawn(process.execPath, [join(ROOT, 'scripts/cli.mjs'), ...args], { env, stdio: 'pipe' });
  const run: Run = { child, out: '', err: '', ended: new Promise((resolve) => child.once('close', resolve)) };
  child.stdout.on('data', (data: Buffer) => (run.out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (run.err += data.toString()));
  child.stdin.end('{"from": "stdin"}');
  return run;
}

async function cli(...args: string[]): Promise<{ exit: number | null; out: string; err: string }> {
  const run = start(...args);
  return { exit: await run.ended, out: run.out, err: run.err };
}

const objects = (out: string): Record<string, unknown>[] =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('the command connections lists all connections as a table or as JSON, and shows one', async () => {
  const listed = await cli('connections', '--state', 'online', '--fact', 'fqdn=cli-1.example.com');
  expect(listed).toMatchObject({ exit: 0, err: '' });
  expect(listed.out).toMatch(
    /^CLIENT ID +TYPE +STATE +SINCE +HELD +NAME\ncli-1 +host +online .* 0 +cli-1.example.com\n$/,
  );
  expect(objects((await cli('connections', '--json')).out)).toMatchObject([{ client_id: 'cli-1', state: 'online' }]);
  expect((await cli('connections', 'cli-1')).out).toMatch(/^state +online$/m);
  expect(await cli('connections', 'nobody')).toMatchObject({ exit: 3, out: '' });
});

it('the command send --wait exits with 0 if the message is sent, and with 1 if it expires, is not answered or the wait runs out', async () => {
  const sent = await cli('send', 'cli-1', 'test:cli', '--payload-file', '-', '--wait', '--json');
  expect(sent.exit).toBe(0);
  expect(objects(sent.out)).toMatchObject([{ directive: 'test:cli', status: 'sent' }]);
  expect(device.received.at(-1)?.payload).toEqual({ from: 'stdin' });

  const file = join(dir, 'token');
  writeFileSync(file, 'any key\n'.replace(' ', '-'));
  const accepted = await cli('send', 'cli-1', 'test:cli', '--token-file', file);
  expect(accepted.out).toMatch(/^[0-9a-f-]{36} is queued\n$/);

  const absent = await TestClient.connect(stack.mosquitto.url, 'cli-2');
  await absent.shakeHands();
  await absent.sayGoodbye();
  await api.untilConnection('cli-2', ({ state }) => state === 'offline');
  const expired = await cli('send', 'cli-2', 'test:cli', '--ttl', '1', '--wait');
  expect(expired).toMatchObject({ exit: 1, err: expect.stringMatching(/ is held\n$/) as string });
  expect(expired.out).toMatch(/ is expired/);
  const held = await cli('send', 'cli-2', 'test:cli', '--wait', '--timeout', '1');
  expect(held.exit).toBe(1);
  expect(held.err).toContain('did not end within 1 s');
  const unanswered = await cli('send', 'cli-1', 'test:cli', '--response-timeout', '1', '--wait');
  expect(unanswered).toMatchObject({ exit: 1, out: expect.stringMatching(/ is unanswered\n$/) as string });
  expect(await cli('send', 'cli-2', 'test:cli', '--when-offline', 'reject')).toMatchObject({ exit: 3 });
});

it('the command watch prints events until it is interrupted', async () => {
  const watching = start('watch', '--client-id', 'cli-1', '--types', 'message.status', '--json');
  const table = start('watch', '--client-id', 'cli-1');
  // A stream has no events from before it was open.
  await waitUntil(async () => {
    await api.send('cli-1', { directive: 'test:watched' });
    expect(objects(watching.out)[0]).toMatchObject({ type: 'message.status', client_id: 'cli-1' });
    expect(table.out).toMatch(/message\.status {2,}cli-1 .*status=sent/);
  });
  for (const { child } of [watching, table]) child.kill('SIGINT');
  expect(await Promise.all([watching.ended, table.ended])).toEqual([0, 0]);
});

it('the command disconnect disconnects a client, and with --lift lets it connect again', async () => {
  const refused = await cli('disconnect', 'cli-1', '--reconnect-after', 'soon');
  expect(refused.exit).toBe(3);
  expect(refused.err).toMatch(/^Refused \(422 invalid\): \/reconnect_after: must be/);
  expect(await cli('disconnect', 'cli-1', '--reconnect-after', 'never')).toMatchObject({ exit: 0, err: '' });
  await device.waitFor('force-disconnect', ({ type }) => type === 'force-disconnect');
  expect((await api.connection('cli-1')).body.refused_until).toBe('never');
  expect(objects((await cli('disconnect', 'cli-1', '--lift', '--json')).out)).toEqual([
    { client_id: 'cli-1', lifted: true },
  ]);
  expect((await api.connection('cli-1')).body.refused_until).toBeNull();
});

it('the command sweep --wait ends with the sweep, and the command cluster shows members and shards', async () => {
  const [requested] = objects((await cli('sweep', '--json')).out);
  expect(requested).toEqual({ requested: true, sweep_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string });
  const swept = await cli('sweep', '--wait', '--json');
  expect(swept.exit).toBe(0);
  expect(objects(swept.out)).toMatchObject([{ state: 'ended', trigger: 'request', complete: true }]);
  expect((await cli('sweep', '--latest')).out).toMatch(/^state +ended$/m);
  const cluster = await cli('cluster', '--shards');
  expect(cluster.out).toMatch(/^MEMBER +SINCE +SHARDS +LANES +WAITING +LAG\n/);
  expect(cluster.out).toContain('Every shard has an ingester that owns it.');
  expect(cluster.out.match(/^\d+ .* ms$/gm)).toHaveLength(32);
});

it('what one command prints, the next one takes', async () => {
  const [sent] = objects((await cli('messages', 'send', 'cli-1', 'test:ids', '--wait', '--json')).out);
  const id = String(sent?.['message_id']);
  expect((await cli('messages', 'get', id, '--wait', '1s')).out).toMatch(/^directive +test:ids$/m);
  expect(await cli('messages', 'wait', id)).toMatchObject({ exit: 0, out: `${id} is sent\n` });
  expect((await cli('connections', 'messages', 'cli-1')).out).toContain(id);
  expect((await cli('messages', 'list', '--since', '5m', '--output', 'yaml')).out).toContain(`message_id: ${id}`);
  expect(await cli('messages', 'cancel', id)).toMatchObject({ exit: 3 });

  const first = await cli('messages', 'list', '--client-id', 'cli-1', '--limit', '1', '--json');
  const cursor = /--cursor (\S+)/.exec(first.err)?.[1] ?? '';
  const second = await cli('messages', 'list', '--client-id', 'cli-1', '--limit', '1', '--cursor', cursor, '--json');
  expect(second.exit).toBe(0);
  expect(objects(second.out)[0]?.['message_id']).not.toBe(objects(first.out)[0]?.['message_id']);

  const watching = start('events', 'watch', '--client-id', 'cli-1', '--since', '5m');
  await waitUntil(async () => {
    expect(watching.out).toMatch(/ id=\S+\n/);
    return Promise.resolve();
  });
  watching.child.kill('SIGINT');
  expect(await watching.ended).toBe(0);
  const eventId = / id=(\S+)\n/.exec(watching.out)?.[1] ?? '';
  const resumed = start('events', 'watch', '--client-id', 'cli-1', '--since', eventId);
  await waitUntil(async () => {
    expect(resumed.out).toContain('message.status');
    return Promise.resolve();
  });
  resumed.child.kill('SIGINT');
  expect(await resumed.ended).toBe(0);

  const sweep = /sweep-status (\S+)\n/.exec((await cli('cluster', 'sweep')).out)?.[1] ?? '';
  expect((await cli('cluster', 'sweep-status', sweep)).out).toContain(sweep);
});

it('the commands keys and login work on the same file of a key', async () => {
  const [file, keyFile] = [join(dir, 'keys.json'), join(dir, 'key')];
  const created = await cli(
    'keys',
    'create',
    'billing',
    '--scopes',
    'connections:read',
    '--file',
    file,
    '--out',
    keyFile,
  );
  expect(created).toMatchObject({ exit: 0, out: '' });
  expect((await cli('keys', 'list', '--file', file)).out).toBe('billing\t-\tconnections:read\n');
  expect((await cli('keys', 'create', 'billing', '--scopes', 'all', '--file', file)).exit).toBe(2);
  expect((await cli('keys', 'revoke', 'billing', '--file', file)).exit).toBe(0);
  expect(await cli('login', '--token-file', keyFile)).toMatchObject({
    exit: 0,
    err: expect.stringMatching(/^http:\S+ takes no keys: .* has not looked at .*\n$/) as string,
  });
  expect((await cli('profiles')).out).toContain(keyFile);
});

it('a command exits with 0 and prints no error if the reader of its pipe closes it', async () => {
  const run = start('cluster', '--shards');
  run.child.stdout?.destroy();
  expect([await run.ended, run.err]).toEqual([0, '']);
});

it('the command call prints what the device answers, and exits with 1 if it cannot do it or does not answer', async () => {
  const answering = new Device({ id: 'cli-answers', url: stack.mosquitto.url, onMessage: demoWork });
  try {
    await api.untilConnection('cli-answers', ({ state }) => state === 'online');
    const pong = await cli('call', 'cli-answers', 'demo:ping', '--payload-file', '-', '--timeout', '1m');
    expect(pong).toEqual({ exit: 0, out: '{"pong":{"from":"stdin"}}\n', err: '' });
    const impossible = await cli('call', 'cli-answers', 'demo:dance', '--json');
    expect(impossible.exit).toBe(1);
    expect(objects(impossible.out)).toMatchObject([{ status: 'failed' }]);
    expect(impossible.err).toMatch(/^the call of cli-answers failed: this device cannot do demo:dance/);
    expect((await cli('call', 'cli-2', 'test:cli', '--timeout', '1s')).err).toMatch(/the client is offline/);
    expect(await cli('call', 'cli-1', 'test:cli', '--timeout', '1s')).toMatchObject({ exit: 1, out: '' });
    expect((await cli('call', 'cli-1', 'test:cli', '--timeout', 'soon')).exit).toBe(2);
  } finally {
    await answering.stop();
  }
});
