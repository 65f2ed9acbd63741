/** `--watch`: the event stream says when a list is read again. */
import type { ServerResponse } from 'node:http';
import { CliServer } from '../../../../test/support/cli.js';

const server = new CliServer();
let stream: ServerResponse | undefined;
let rows: object[];
let reads: number;

beforeAll(() => server.start());
afterAll(() => server.stop());

beforeEach(() => {
  rows = [connection('a', 'online')];
  reads = 0;
  server.answer = (response, { url = '' }) => {
    if (url.startsWith('/v1/events')) {
      stream = response;
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      return;
    }
    reads++;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ data: rows, next_cursor: null }));
  };
});

const connection = (id: string, state: string): object => ({
  ...{ client_id: id, type: 'host', state, connected_at: 'c', disconnected_at: 'd', held_messages: 0, facts: {} },
});

let number = 0;

function emit(): void {
  const event = {
    type: 'connection.offline',
    event_id: `0-1795000000000-${++number}`,
    at: 'now',
    shard: 0,
    client_id: 'a',
  };
  stream?.write(`id: A${number}\ndata: ${JSON.stringify(event)}\n\n`);
}

it('a table on a terminal is drawn again after a change', async () => {
  const end = new AbortController();
  const run = server.cli(['connections', 'list', '--watch'], {
    terminal: { columns: 80, rows: 24 },
    env: { NO_COLOR: '1' },
    interrupted: end.signal,
    onOutput: (out) => {
      if (/ offline .*\nIt is read again/.test(out)) end.abort();
      else if (out.includes('Ctrl-C') && reads === 1) {
        rows = [connection('a', 'offline')];
        emit();
      }
    },
  });
  const { exit, out } = await run;
  expect(exit).toBe(0);
  expect(out.split('\u001b[H\u001b[J').slice(1)).toEqual([
    expect.stringMatching(/^CLIENT ID .*\na +host +online .*\nIt is read again/),
    expect.stringMatching(/^CLIENT ID .*\na +host +offline .*\nIt is read again/),
  ]);
  // The stream and no clock caused the second read.
  expect(reads).toBe(2);
});

it('a table that is higher than the terminal says how many rows it does not show', async () => {
  rows = Array.from({ length: 30 }, (_, i) => connection(`c${String(i).padStart(2, '0')}`, 'online'));
  const end = new AbortController();
  const { out } = await server.cli(['connections', 'list', '-w'], {
    terminal: { columns: 80, rows: 10 },
    interrupted: end.signal,
    onOutput: (text) => text.includes('Ctrl-C') && end.abort(),
  });
  expect(out).toContain('… and 26 more');
  expect(out).not.toContain('c20');
});

const message = (minute: string): object => ({
  ...{ message_id: `m-${minute}`, client_id: 'a', directive: 'd', status: 'sent' },
  ...{ created_at: `2026-11-30T06:${minute}:00.000Z` },
});
const deadLetter = (minute: string): object => ({
  ...{ client_id: 'a', reason: 'r', details: `m-${minute}`, shard: 0, sample: '' },
  ...{ at: `2026-11-30T06:${minute}:00.000Z` },
});

it.each([
  ['messages list', message],
  ['connections messages a', message],
  ['cluster dead-letters', deadLetter],
])('the newest rows of %s come first, and are those that a low terminal shows', async (line, rowOf) => {
  const minutes = Array.from({ length: 30 }, (_, i) => String(i).padStart(2, '0'));
  // As the service may list them: shard by shard.
  rows = minutes.map((_, i) => rowOf(minutes[(i * 7) % 30] ?? ''));
  const shown = (text: string): string[] => Array.from(text.matchAll(/\bm-(\d\d)/g), ([, minute]) => minute ?? '');
  const newest = minutes.toReversed();
  expect(shown((await server.cli(line.split(' '))).out)).toEqual(newest);
  const end = new AbortController();
  const { out } = await server.cli([...line.split(' '), '--watch'], {
    terminal: { columns: 120, rows: 10 },
    interrupted: end.signal,
    onOutput: (text) => text.includes('Ctrl-C') && end.abort(),
  });
  expect(shown(out)).toEqual(newest.slice(0, 4));
  expect(out).toContain('… and 26 more');
});

it('scripts get all dead letters, as many at once as the service gives', async () => {
  rows = [deadLetter('00')];
  const { exit, out } = await server.cli(['cluster', 'dead-letters', '--json']);
  expect([exit, out.trimEnd()]).toEqual([0, JSON.stringify(deadLetter('00'))]);
});

it('a watched table says if there are more rows than it reads', async () => {
  const end = new AbortController();
  server.answer = (response, { url = '' }) => {
    if (url.startsWith('/v1/events')) response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    else response.end(JSON.stringify({ data: rows, next_cursor: 'next' }));
  };
  const { out } = await server.cli(['connections', 'list', '-w', '--limit', '1'], {
    terminal: { columns: 80, rows: 10 },
    interrupted: end.signal,
    onOutput: (text) => text.includes('Ctrl-C') && end.abort(),
  });
  expect(out).toContain('The service has more rows: --limit reads more.');
});

it('for scripts, the rows that are new or have changed are written', async () => {
  const end = new AbortController();
  rows = [connection('a', 'online'), connection('b', 'online')];
  const { out } = await server.cli(['connections', 'list', '--watch', '--json'], {
    interrupted: end.signal,
    onOutput: (text) => {
      const lines = text.trimEnd().split('\n').length;
      if (lines === 3) end.abort();
      if (lines !== 2 || reads !== 1) return;
      rows = [connection('a', 'offline'), connection('b', 'online')];
      emit();
    },
  });
  const shown = out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { client_id: string; state: string })
    .map(({ client_id: id, state }) => `${id} ${state}`);
  expect(shown).toEqual(['a online', 'b online', 'a offline']);
});

it('a refusal of the stream ends it', async () => {
  const problem = {
    type: 'urn:cloud-connector:problem:forbidden',
    title: 'No',
    status: 403,
    detail: 'events:read',
    request_id: 'r',
  };
  server.answerWith(problem, 403);
  expect(await server.cli(['connections', 'list', '--watch'])).toMatchObject({ exit: 3, out: '' });
  expect((await server.cli(['connections', 'list', '--watch', '--cursor', 'x'])).exit).toBe(2);
});

it.each([200, 403])('a sweep is waited for, whether or not the key may read events: %i', async (status) => {
  const running = { sweep_id: 's', state: 'running', complete: null };
  const reads: string[] = [];
  server.answer = (response, { method, url = '' }) => {
    if (url.startsWith('/v1/events')) {
      stream = response.writeHead(status, { 'content-type': status === 200 ? 'text/event-stream' : 'text/plain' });
      if (status === 200) stream.flushHeaders();
      else stream.end();
      return;
    }
    if (method === 'POST') return void response.end(JSON.stringify({ sweep_id: 's', state: 'requested' }));
    reads.push(url);
    const sweep = reads.length < 3 ? running : { ...running, state: 'ended', complete: true };
    response.end(JSON.stringify(url.endsWith('latest') ? running : { sweep_id: 's', state: sweep.state, sweep }));
    if (reads.length === 2 && status === 200) emit();
  };
  const { exit, out } = await server.cli(['cluster', 'sweep', '--wait', '--json']);
  expect([exit, JSON.parse(out)]).toEqual([0, { ...running, state: 'ended', complete: true }]);
  expect(reads).toEqual(['/v1/cluster/sweeps/latest', '/v1/cluster/sweeps/s', '/v1/cluster/sweeps/s']);
});
