/** The command-line tool has all of the API, and the names and exit codes that it had before; its help and its page say so. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMANDS, GROUPS } from '../../libs/client/src/cli/catalogue/index.js';
import { helpOf, parse } from '../../libs/client/src/cli/program.js';
import { plain } from '../../libs/client/src/cli/colour.js';
import * as values from '../../libs/client/src/cli/values.js';
import { VERSION } from '../../libs/client/src/cli/version.js';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { ExampleApi, type ApiDocument } from '../support/api-examples.js';
import { CliServer, type CliResult } from '../support/cli.js';

const ROOT = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const document = JSON.parse(read('docs/openapi.json')) as ApiDocument & {
  components: { schemas: Record<string, { enum?: string[]; properties?: Record<string, object> }> };
};
const { schemas } = document.components;

const style = { columns: 80, colour: plain };
const visible = COMMANDS.filter(({ former }) => former !== true);
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-cli-'));
const server = new CliServer();
let api: ExampleApi;

beforeAll(() => server.start());
beforeEach(() => {
  api = new ExampleApi(document);
  server.answer = (response, request) => api.answer(response, request);
});
afterAll(async () => {
  await server.stop();
  rmSync(dir, { recursive: true });
});

/** The words of a command line, as a shell takes them. */
function wordsOf(line: string): string[] {
  return Array.from(line.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, word]) => quoted ?? word ?? '');
}

/** Runs a command line; what follows events ends after its first output. */
function runLine(line: string): Promise<CliResult> {
  const end = new AbortController();
  const env = { XDG_CONFIG_HOME: join(dir, 'config') };
  const onOutput = (): void => end.abort();
  return server.cli(wordsOf(line), {
    env,
    onOutput,
    interrupted: end.signal,
    programs: { keys: () => Promise.resolve(0) },
  });
}

test('each operation of the API has a command', () => {
  const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).map((one) => one.operationId));
  const covered = new Set(visible.flatMap(({ operations = [] }) => operations));
  expect(ids.length).toBeGreaterThan(20);
  expect(ids.filter((id) => !covered.has(id))).toEqual([]);
  expect([...covered].filter((id) => !ids.includes(id))).toEqual([]);
});

test.each(visible.map((spec) => [spec.path, spec] as const))(
  'the examples of %s are valid, and call what the command says it calls',
  async (path, { examples, operations = [] }) => {
    const [token, messages] = [join(dir, 'token'), join(dir, 'messages.json')];
    writeFileSync(token, 'key\n', { mode: 0o600 });
    writeFileSync(messages, JSON.stringify([{ client_id: 'device-0001', directive: 'demo:ping' }]));
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      expect(parse(wordsOf(example), style)).toMatchObject({ spec: { path } });
      // Those need a terminal, a broker, or a profile that another example makes.
      if (/ - |^logout|^profiles use|^check-broker|--profile staging/.test(`${example} `)) continue;
      const line = example
        .replace('https://gateway.example.com', server.url)
        .replace('http://127.0.0.1:3000', server.url)
        .replace('~/token', token)
        .replace('messages.json', messages);
      // One message of that example is refused.
      const exit = path === 'messages send-many' ? 1 : 0;
      expect([example, await runLine(line)]).toEqual([example, expect.objectContaining({ exit })]);
    }
    // It follows events only while a message has not ended, and that of the examples has.
    const unused = path === 'messages wait' ? ['streamEvents'] : [];
    expect(operations.filter((id) => !api.called.includes(id) && !unused.includes(id))).toEqual([]);
  },
);

test.each(COMMANDS.map((spec) => [spec.path, spec] as const))('the help of %s fits 80 columns', (path, { summary }) => {
  const lines = helpOf(path, style).split('\n');
  expect(lines[0]).toMatch(new RegExp(`^Usage: cloud-connector ${path}`));
  expect(lines).toContain('Examples:');
  expect(summary).toMatch(/^[A-Z].*[^.]$/);
  expect(summary.length).toBeLessThanOrEqual(72);
  // A shell has to read examples whole.
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
});

test('the values of options are those of the API', () => {
  const enumOf = (name: string): string[] => schemas[name]?.enum ?? [];
  expect([...values.CONNECTION_STATES].sort()).toEqual(enumOf('ConnectionState').sort());
  expect([...values.CONNECTION_TYPES].sort()).toEqual(enumOf('ConnectionType').sort());
  expect([...values.WHEN_OFFLINE].sort()).toEqual(enumOf('WhenOffline').sort());
  expect([...values.OFFLINE_REASONS].sort()).toEqual(enumOf('OfflineReason').sort());
  expect([...values.MESSAGE_STATUSES].sort()).toEqual(enumOf('MessageStatus').sort());
  expect([...values.EVENT_TYPES].sort()).toEqual(
    enumOf('EventFilter')
      .filter((type) => !type.endsWith('*'))
      .sort(),
  );
  expect([...values.SCOPES].sort()).toEqual([...SCOPES].sort());
});

test('the longest durations of a message are those of the API', () => {
  const { properties } = schemas['SendMessage'] ?? {};
  expect(properties?.['ttl_seconds']).toMatchObject({ minimum: 1, maximum: values.LONGEST_TTL_S });
  expect(properties?.['response_timeout_seconds']).toMatchObject({
    ...{ minimum: 1, maximum: values.LONGEST_RESPONSE_TIMEOUT_S },
  });
});

test('--version says the version of the package', async () => {
  expect(VERSION).toBe((JSON.parse(read('libs/client/package.json')) as { version: string }).version);
  expect(await runLine('--version')).toEqual({ exit: 0, out: `${VERSION}\n`, err: '' });
});

/** Command lines of 0.1.0 and of the time before this release: exit code, and what they call. */
const FORMER: readonly [line: string, exit: number, ...called: string[]][] = [
  ['', 0],
  ['help', 0],
  ['--help', 0],
  ['help send', 0],
  ['send --help', 0],
  ['connections -h', 0],
  ['nothing', 2],
  ['help nothing', 2],
  ['nothing --help', 2],
  ['connections', 0, 'listConnections'],
  ['connections --json', 0, 'listConnections'],
  ['connections --state online --type host --fact fqdn=a --limit 5', 0, 'listConnections'],
  ['connections --prefix rack-7- --offline-reason goodbye --held --refused', 0, 'listConnections'],
  ['connections device-0001', 0, 'getConnection'],
  ['connections --json device-0001', 0, 'getConnection'],
  ['connections --state gone', 2],
  ['connections --limit 0', 2],
  ['connections --fact name=x', 2],
  ['connections a b', 2],
  ['connections --colour', 2],
  ['send device-0001 rhc:work', 0, 'sendMessage'],
  [
    `send device-0001 rhc:work --payload '{"job": 7}' --ttl 600 --when-offline hold --idempotency-key job-7 --json`,
    0,
    'sendMessage',
  ],
  ['send device-0001 rhc:work --response-timeout 60 --wait --timeout 5', 0, 'sendMessage', 'readMessage'],
  ['send device-0001', 2],
  ['send device-0001 rhc:work more', 2],
  ['send device-0001 rhc:work --ttl 1.5', 2],
  ['send device-0001 rhc:work --ttl 0', 2],
  ['send device-0001 rhc:work --payload {', 2],
  ['send device-0001 rhc:work --payload 1 --payload-file x', 2],
  ['send device-0001 rhc:work --payload-file /nowhere', 2],
  ['send device-0001 rhc:work --timeout 5', 2],
  ['send device-0001 rhc:work --when-offline never', 2],
  ['send .. rhc:work', 2],
  ['call device-0001 rhc:work --timeout 30s', 0, 'sendMessage'],
  ['call device-0001 rhc:work --timeout 30 --payload 1', 0, 'sendMessage'],
  ['call device-0001 rhc:work --timeout soon', 2],
  ['watch', 0, 'streamEvents'],
  ['watch --types message.status --client-id device-0001 --since AgGtFbRdwA --json', 0, 'streamEvents'],
  ['watch --since 2026-11-30T06:00:00Z', 0, 'streamEvents'],
  ['watch device-0001', 2],
  ['disconnect device-0001 --reconnect-after PT30S', 0, 'forceDisconnect'],
  ['disconnect device-0001 --reconnect-after never --json', 0, 'forceDisconnect'],
  // The service says what is wrong with it.
  ['disconnect device-0001 --reconnect-after soon', 0, 'forceDisconnect'],
  ['disconnect device-0001 --lift', 0, 'liftRefusal'],
  ['disconnect device-0001', 2],
  ['disconnect device-0001 --lift --reconnect-after never', 2],
  ['disconnect', 2],
  ['sweep', 0, 'getLatestSweep', 'startSweep'],
  ['sweep --json', 0, 'getLatestSweep', 'startSweep'],
  ['sweep --wait', 0, 'getLatestSweep', 'startSweep', 'streamEvents', 'getSweep'],
  ['sweep --latest', 0, 'getLatestSweep'],
  ['sweep --latest --wait', 2],
  ['cluster', 0, 'getCluster'],
  ['cluster --shards', 0, 'getCluster'],
  ['cluster --json', 0, 'getCluster'],
  ['cluster --url ftp://x', 2],
  ['cluster --url http://127.0.0.1:2', 3],
  ['cluster --token-file /nowhere', 2],
  ['messages', 0, 'searchMessages'],
  ['messages --status held --client-id device-0001 --since 2026-11-30T06:00:00Z --limit 5 --json', 0, 'searchMessages'],
  ['messages --status gone', 2],
  ['messages device-0001', 2],
  ['stats', 0, 'getStats'],
  ['stats --json', 0, 'getStats'],
  ['whoami', 0, 'whoami'],
  ['check-broker mqtt://127.0.0.1:1883', 2],
  ['check-broker --help', 0],
];

test.each(FORMER)('as before, `cloud-connector %s` exits with %i', async (line, exit, ...called) => {
  expect(await runLine(line)).toMatchObject({ exit });
  expect(api.called).toEqual(called);
});

test('docs/clients.md has a row for each command, and for each exit code', () => {
  const page = read('docs/clients.md');
  const missing = visible.filter(({ path }) => !page.includes(`| \`${path}`)).map(({ path }) => path);
  expect(missing).toEqual([]);
  expect(GROUPS.filter(({ name }) => !page.includes(`\`${name}`))).toEqual([]);
  for (const code of [0, 1, 2, 3, 70]) expect(page).toMatch(new RegExp(`^\\| ${code} +\\|`, 'm'));
});
