/** What people and scripts see of the same results. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { CliServer } from '../../../../test/support/cli.js';

const server = new CliServer();
const TERMINAL = { columns: 80, rows: 24 };
const HOSTILE = '\u001b]0;x\u0007\u009b31m\u202e\u{e0041}\nnext';

beforeAll(() => server.start());
afterAll(() => server.stop());

const connection = (id: string, more: object = {}): object => ({
  ...{ client_id: id, type: 'host', state: 'online', connected_at: new Date().toISOString(), held_messages: 0 },
  ...{ facts: { fqdn: `${id}.example.com` }, ...more },
});

it('the rows of a table come in the order of their id, and say on a terminal how long ago something was', async () => {
  server.answerWith({ data: [connection('b'), connection('a')], next_cursor: null });
  const { out } = await server.cli(['connections', 'list'], { terminal: TERMINAL, env: { NO_COLOR: '1' } });
  expect(out).toMatch(/^CLIENT ID .*\na .* (now|\ds ago) .*\nb .*\n$/);
  expect((await server.cli(['connections', 'list'])).out).toMatch(/^a +host +online +\d{4}-\d\d-\d\dT/m);
});

it('there are colours on a terminal, without NO_COLOR, and with FORCE_COLOR', async () => {
  server.answerWith({ data: [connection('a')], next_cursor: null });
  const isColoured = async (env: Record<string, string>, terminal?: typeof TERMINAL): Promise<boolean> =>
    (await server.cli(['connections', 'list'], { env, ...(terminal && { terminal }) })).out.includes('\u001b[');
  expect(await isColoured({}, TERMINAL)).toBe(true);
  expect(await isColoured({ NO_COLOR: '' }, TERMINAL)).toBe(true);
  expect(await isColoured({ TERM: 'dumb' }, TERMINAL)).toBe(false);
  expect(await isColoured({ NO_COLOR: '1', FORCE_COLOR: '1' }, TERMINAL)).toBe(false);
  expect(await isColoured({})).toBe(false);
  expect(await isColoured({ FORCE_COLOR: '1' })).toBe(true);
  expect(await isColoured({ FORCE_COLOR: '0' }, TERMINAL)).toBe(false);
});

it('a terminal that does not know its size shortens nothing, and hides no row', async () => {
  const name = `${'d'.repeat(100)}.example.com`;
  server.answerWith({ data: [connection('a', { facts: { fqdn: name } })], next_cursor: null });
  const { out } = await server.cli(['connections', 'list'], { terminal: { columns: 0, rows: 0 } });
  expect(out).toContain(name);
});

it('no id is shortened on a terminal of 80 columns', async () => {
  const [id, message] = ['device-0001.rack-17.example.com', '019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90'];
  const row = { message_id: message, client_id: id, directive: 'd'.repeat(40), status: 'held', created_at: 'now' };
  server.answerWith({ data: [row], next_cursor: null });
  const { out } = await server.cli(['messages', 'list'], { terminal: TERMINAL, env: { NO_COLOR: '1' } });
  expect(out).toContain(`${message}  ${id}`);
});

it('nothing of a client controls the terminal, in any format', async () => {
  server.answerWith(connection('a', { facts: { [HOSTILE]: HOSTILE, deep: [{ [HOSTILE]: HOSTILE }] } }));
  for (const format of ['table', 'json', 'yaml']) {
    const { out } = await server.cli(['connections', 'get', 'a', '--output', format], {
      terminal: TERMINAL,
      env: { NO_COLOR: '1' },
    });
    expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    expect(out).not.toMatch(/^next/m);
  }
});

it('YAML has the same values, a document for each row', async () => {
  const rows = [connection('a', { facts: { fqdn: HOSTILE } }), connection('b')];
  server.answerWith({ data: rows, next_cursor: null });
  const { out } = await server.cli(['connections', 'list', '--output', 'yaml']);
  expect(parseAllDocuments(out).map((document) => JSON.parse(JSON.stringify(document)) as unknown)).toEqual(rows);
});

it('an object is shown member by member, with its inner objects below', async () => {
  server.answerWith({
    ...{ message_id: 'm', status: 'failed', answer: null, scopes: ['a', 'b'], payload: { deep: { er: 1 } } },
    status_history: [
      { status: 'queued', at: '2026-11-30T06:00:00Z', details: '' },
      { status: 'failed', at: '2026-11-30T06:00:01Z', details: 'no such job' },
    ],
  });
  expect((await server.cli(['messages', 'get', 'm'])).out).toBe(
    [
      'message_id  m',
      'status      failed',
      'answer      -',
      'scopes      a, b',
      'payload',
      '  deep',
      '    er  1',
      'status_history',
      '  status  at                    details',
      '  queued  2026-11-30T06:00:00Z',
      '  failed  2026-11-30T06:00:01Z  no such job',
      '',
    ].join('\n'),
  );
});

it('a limit that leaves rows names the cursor after the last one', async () => {
  const asked: string[] = [];
  server.answer = (response, { url }) => {
    asked.push(url ?? '');
    // A page may have fewer rows than it was asked for.
    const body = { data: [connection(`c${asked.length}`)], next_cursor: `after-${asked.length}` };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  };
  const { err, out } = await server.cli(['connections', 'list', '--limit', '2', '--cursor', 'x', '--json']);
  expect(asked).toEqual(['/v1/connections?limit=2&cursor=x', '/v1/connections?limit=1&cursor=after-1']);
  expect(out.trimEnd().split('\n')).toHaveLength(2);
  expect(err).toBe('There are more: add --cursor after-2\n');
});

it('the messages of a file are an array or lines, and one that is refused is an exit code of 1', async () => {
  const result = { status: 202, message: { message_id: 'm', client_id: 'a', directive: 'd', status: 'queued' } };
  const bodies: string[] = [];
  server.answer = (response, request) => {
    request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
    const refused = { status: 404, problem: { detail: 'no client' } };
    request.on('end', () => response.end(JSON.stringify({ results: [result, refused] })));
  };
  const dir = mkdtempSync('/tmp/cloud-connector-');
  const file = `${dir}/messages`;
  const messages = [
    { client_id: 'a', directive: 'd' },
    { client_id: 'b', directive: 'd' },
  ];
  for (const text of [
    JSON.stringify(messages),
    JSON.stringify({ messages }),
    messages.map((one) => JSON.stringify(one)).join('\n'),
  ]) {
    writeFileSync(file, text);
    const { exit, out, err } = await server.cli(['messages', 'send-many', file]);
    expect([exit, err]).toEqual([1, '1 of 2 messages were refused.\n']);
    expect(out).toMatch(/^m +a +queued\n- +b +refused +no client$/m);
    expect(JSON.parse(bodies.pop() ?? '')).toEqual({ messages });
  }
  writeFileSync(file, '{"client_id": "a"}\nnothing\n');
  expect(await server.cli(['messages', 'send-many', file])).toMatchObject({
    exit: 2,
    err: expect.stringContaining('line 2 is not JSON') as string,
  });
  writeFileSync(file, '7');
  expect((await server.cli(['messages', 'send-many', file])).exit).toBe(2);
  rmSync(dir, { recursive: true });
});
