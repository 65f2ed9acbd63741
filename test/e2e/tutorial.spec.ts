/** The programs of `docs/tutorials/application.md` do what it says, with the client as it is installed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { startFleet, startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type MessageView } from '../support/api.js';

const ROOT = join(__dirname, '../..');
const PROGRAMS = join(ROOT, 'examples/application');
/** Node 20 runs no TypeScript. */
const TARGET = { compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2023 } };
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-tutorial-'));
const started: ChildProcess[] = [];
let url: string;
let api: Api;
let mqttUrl: string;
let fleet: ReturnType<typeof startFleet>;

beforeAll(async () => {
  const installed = join(dir, 'node_modules/@cloud-connector/client');
  mkdirSync(installed, { recursive: true });
  cpSync(join(ROOT, 'dist/client'), installed, { recursive: true });
  cpSync(join(ROOT, 'libs/client/package.json'), join(installed, 'package.json'));
  for (const name of ['ask', 'work', 'follow']) {
    const { outputText } = transpileModule(readFileSync(join(PROGRAMS, `${name}.mts`), 'utf8'), TARGET);
    writeFileSync(join(dir, `${name}.mjs`), outputText);
  }
  const stack = await startStack({ dir });
  [url, mqttUrl] = [stack.gateway.url, stack.mosquitto.url];
  api = new Api(url);
  await api.untilBuilt();
  fleet = startFleet({ dir, count: 2, mqttUrl });
  await api.untilConnection('device-0002', ({ state }) => state === 'online');
});

afterAll(async () => {
  for (const { pid } of started) if (pid !== undefined) stop(pid);
  await stopAll();
  rmSync(dir, { recursive: true });
});

function stop(pid: number): void {
  try {
    process.kill(pid);
  } catch {
    // It has ended.
  }
}

let token: string | undefined;

function start(...args: string[]): ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
  const env = { ...process.env, CLOUD_CONNECTOR_URL: url, CLOUD_CONNECTOR_TOKEN: token };
  const child = spawn(process.execPath, args, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  return child;
}

/** @returns what the program has printed when it has ended */
async function run(...args: string[]): Promise<string> {
  const child = start(...args);
  const [output, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  expect(err).toBe('');
  expect(child.exitCode).toBe(0);
  return output;
}

/** @returns what a program that fails has printed about it, and its exit code */
async function fail(...args: string[]): Promise<{ code: number | null; err: string }> {
  const child = start(...args);
  const [err] = await Promise.all([text(child.stderr), text(child.stdout), once(child, 'exit')]);
  return { code: child.exitCode, err };
}

/** @returns the id of a message that a host has answered */
async function ping(): Promise<string> {
  const { body } = await api.send('device-0001', { directive: 'demo:ping' }, { prefer: 'wait=10' });
  expect(body.status).toBe('answered');
  return body.message_id;
}

test('every host that is online is asked', async () => {
  const output = await run('ask.mjs');
  for (const id of ['device-0001', 'device-0002']) {
    expect(output).toContain(`${id} answered {"pong":{"hello":"${id}"}}`);
  }
});

test('progress is shown, an answer that is an error, and one that is late', async () => {
  const output = await run('work.mjs', 'device-0001');
  expect(output).toMatch(/^100 %\n\{ steps: 3 \}\nfailed this device cannot do demo:dance; .* [0-9a-f-]{36}\n/m);
  // On a slow machine the time of the message is over as well.
  const [, late = ''] = /^(?:\w+ no answer within 1\.5 s|unanswered .*) ([0-9a-f-]{36})\n$/m.exec(output) ?? [];
  await waitUntil(async () =>
    expect(await run('work.mjs', 'device-0001', late)).toMatch(/payload: \{ steps: 3 \},[^]*late: true/),
  );
});

test('a host that is away gets its message when it comes, and a second run sends nothing twice', async () => {
  await fleet.stop();
  await api.untilConnection('device-0002', ({ state }) => state === 'offline');
  expect(await run('ask.mjs', 'device-0002', 'order-1')).toMatch(/^[0-9a-f-]{36} held null$/m);
  fleet = startFleet({ dir, count: 2, mqttUrl });
  const output = await waitUntil(async () => {
    const printed = await run('ask.mjs', 'device-0002', 'order-1');
    expect(printed).toMatch(/^[0-9a-f-]{36} answered \{/m);
    return printed;
  });
  const [id = ''] = /^[0-9a-f-]{36}(?= answered \{)/m.exec(output) ?? [];
  const { body } = await api.call<{ data: (MessageView & { directive: string })[] }>(
    'GET',
    '/v1/connections/device-0002/messages',
  );
  expect(body.data.filter(({ directive }) => directive === 'demo:work').map(({ message_id }) => message_id)).toEqual([
    id,
  ]);
});

test('a program that follows events goes on after the last one', async () => {
  const first = start('follow.mjs');
  let lines = '';
  first.stdout.setEncoding('utf8').on('data', (chunk: string) => (lines += chunk));
  // The stream is open at an unknown moment: only what comes after it is printed.
  await waitUntil(async () => {
    await ping();
    expect(lines).toContain('answered');
  });
  first.kill();
  await once(first, 'exit');
  const position = readFileSync(join(dir, 'position.txt'), 'utf8');
  const missed = await ping();
  expect(readFileSync(join(dir, 'position.txt'), 'utf8')).toBe(position);
  const second = start('follow.mjs');
  lines = '';
  second.stdout.setEncoding('utf8').on('data', (chunk: string) => (lines += chunk));
  await waitUntil(() => expect(lines).toContain(`${missed} answered`), { what: 'the missed event' });
  second.kill();
  await once(second, 'exit');
});

test.each(['ask.mjs', 'follow.mjs'])('%s says in one line that the service is away', async (program) => {
  const here = url;
  // Nobody listens there.
  url = 'http://127.0.0.1:2';
  const ended = fail(program);
  url = here;
  expect(await ended).toEqual({
    code: 1,
    err: expect.stringMatching(/^no answer of the service: http:\/\/127\.0\.0\.1:2 cannot be reached: .*\n$/) as string,
  });
});

test.each(['ask.mjs', 'follow.mjs'])('%s says in one line that its address or token is wrong', async (program) => {
  const here = url;
  url = 'localhost:3000';
  const withoutAddress = fail(program);
  [url, token] = [here, 'a b'];
  const withoutToken = fail(program);
  token = undefined;
  expect(await withoutAddress).toEqual({
    code: 1,
    err: '"localhost:3000" is not the address of a gateway, such as https://connector.example.com\n',
  });
  expect(await withoutToken).toEqual({ code: 1, err: 'a token must be printable ASCII without spaces\n' });
});

test('ask.mjs with a host and without a key prints how it is used', async () => {
  expect(await fail('ask.mjs', 'device-0001')).toEqual({ code: 2, err: 'usage: node ask.mts [CLIENT_ID KEY]\n' });
});
