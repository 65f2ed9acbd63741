/** The tool and an HTTP server of the test: what it refuses without a call, and how it shows refusals and hostile texts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CliServer, type CliResult } from '../../../../test/support/cli.js';

const server = new CliServer();

beforeAll(() => server.start());
afterAll(() => server.stop());

function cli(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  return server.cli(args, { env });
}

describe('cloud-connector', () => {
  it.each([
    [['nothing'], 'there is no command "nothing"'],
    [['constructor'], 'there is no command "constructor"'],
    [['send', 'a'], "missing required argument 'DIRECTIVE'"],
    [['send', 'a', 'b', 'c'], 'too many arguments'],
    [['send', 'a', 'b', '--ttl', '1.5'], '--ttl must be a duration such as 30s, 5m, 1h30m or PT30S, not "1.5"'],
    [['send', 'a', 'b', '--ttl', '0'], '--ttl must be at least 1s, not "0"'],
    [['send', 'a', 'b', '--ttl', '60d'], '--ttl must be at most 30 days, not "60d"'],
    [['send', 'a', 'b', '--response-timeout', '31d'], '--response-timeout must be at most 30 days'],
    [['call', 'a', 'b', '--timeout', '31d'], '--timeout must be at most 30 days'],
    // A timer of Node would end at once.
    [['send', 'a', 'b', '--wait', '--timeout', '25d'], '--timeout must be at most 24 days'],
    [['messages', 'wait', 'a', '--timeout', '25d'], '--timeout must be at most 24 days'],
    [['messages', 'get', 'a', '--wait', '61s'], '--wait must be at most 60s'],
    [['send', 'a', 'b', '--payload', '{'], 'the payload is not JSON'],
    [['send', 'a', 'b', '--payload-file', '/nowhere'], 'the payload cannot be read'],
    [['send', 'a', 'b', '--timeout', '3'], '--timeout says how long to --wait'],
    [['send', '..', 'b'], 'an id must not be'],
    [['connections', '--state', 'gone'], '--state must be online or offline, not "gone"'],
    [['connections', '--fact', 'name=x'], '--fact must be NAME=VALUE'],
    [['connections', '--offline-reason', 'asleep'], '--offline-reason must be goodbye, '],
    [['connections', '--fact', 'fqdn=a', '--fact', 'fqdn=b'], '--fact fqdn is given twice'],
    [['conections'], 'there is no command "conections"\n(Did you mean connections?)'],
    [['--url', 'http://127.0.0.1:1', 'cluster', 'shw', 'a'], 'there is no command "cluster shw"'],
    [['--url', 'http://127.0.0.1:1', 'conections'], 'there is no command "conections"\n(Did you mean connections?)'],
    [['message', 'send', 'a', 'b'], 'there is no command "message"\n(Did you mean messages?)'],
    [['--url'], 'See: cloud-connector help\n'],
    [['list', 'connections'], 'there is no command "list"\n(Did you mean connections list or'],
    [['send-many'], 'there is no command "send-many"\n(Did you mean messages send-many?)'],
    [['list'], '(Did you mean connections list or messages list or keys list or profiles list?)'],
    [['whoami', '-o', 'xml'], '--output must be table, json or yaml, not "xml"'],
    [['completion', 'tcsh'], 'SHELL must be bash, zsh or fish, not "tcsh"'],
    [['connections', '--colour'], "unknown option '--colour'"],
    [['disconnect', 'a'], 'give either --reconnect-after or --lift'],
    [['disconnect', 'a', '--lift', '--reconnect-after', 'never'], 'give either --reconnect-after or --lift'],
    [['sweep', '--wait', '--latest'], 'give --wait or --latest'],
    [['check-broker', 'mqtt://x', '--json'], 'npm run cli -- check-broker URL'],
    [['cluster', '--url', 'ftp://x'], 'is not the address of a gateway'],
    [['cluster', '--url', 'http://127.0.0.1:2/v1/'], '"http://127.0.0.1:2/v1/" must not end in /v1'],
    [['cluster', '--token-file', '/nowhere'], 'the token cannot be read'],
  ])('refuses %j as wrong usage, without a call', async (args, text) => {
    const { exit, out, err } = await cli(args);
    expect([exit, out]).toEqual([2, '']);
    expect(err).toContain(text);
  });

  it('prints its help without arguments and with --help', async () => {
    expect(await cli([])).toMatchObject({ exit: 0, err: '' });
    expect((await cli(['send', '--help'])).out).toContain('cloud-connector send [options] <CLIENT_ID>');
  });

  it.each([
    [['messages', 'send', 'a', 'b', '--payload', '{'], 'messages send'],
    [['messages', 'send', 'a', 'b', '--ttl', '0'], 'messages send'],
    [['messages', 'call', '..', 'b'], 'messages call'],
    [['messages', '--limit', '0'], 'messages list'],
    [['whoami', '--profile', 'x'], 'whoami'],
    [['logout'], 'logout'],
    [['profiles', 'use', 'x'], 'profiles use'],
    [['messages', 'nothing'], 'messages'],
  ])('after wrong usage of %j it names the help of %s', async (args, path) => {
    expect((await cli(args)).err).toMatch(new RegExp(`\\nSee: cloud-connector help ${path}\\n$`));
    expect((await cli(['help', ...path.split(' ')])).exit).toBe(0);
  });

  it('says of an answer of another program who has answered what, and of a 404 that it is not a gateway', async () => {
    server.answer = (response) => response.writeHead(404, { 'content-type': 'text/html' }).end('<p>Not found');
    expect(await cli(['whoami'])).toEqual({
      ...{ exit: 3, out: '' },
      err: expect.stringMatching(
        /^http:\/\/127\.0\.0\.1:\d+ is not a gateway of Cloud Connector: it answered 404 without a problem document\nSet --url or .* choose a profile\.\n$/,
      ) as string,
    });
    server.answer = (response) => response.writeHead(502).end();
    expect((await cli(['whoami'])).err).toMatch(/^http:\S+ answered 502 without a problem document\n$/);
    server.answer = (response) => response.writeHead(400).end();
    expect((await cli(['whoami'])).err).toMatch(
      /^http:\S+ answered 400 .*; is it https, not http\?\nSet --url or .*\n$/,
    );
  });

  it('says in one line that a server does not speak TLS', async () => {
    const { exit, err } = await cli(['whoami', '--url', server.url.replace('http:', 'https:')]);
    expect(exit).toBe(3);
    expect(err).toMatch(
      /^https:\S+ cannot be reached: the server there does not speak TLS: is it http, not https\?\nSet --url or .*\n$/,
    );
  });

  it('names the cause and the remedy if the gateway cannot be reached', async () => {
    const { exit, err } = await cli(['cluster', '--url', 'http://127.0.0.1:2']);
    expect(exit).toBe(3);
    expect(err).toMatch(
      /cannot be reached: .*ECONNREFUSED.*; is the gateway running there\?\nSet --url or CLOUD_CONNECTOR_URL.*\n$/,
    );
  });

  it('prints the cause and the remedy of a refusal, and escapes line breaks in texts of the gateway', async () => {
    const problem = { type: 'urn:cloud-connector:problem:unauthenticated', title: 'No', status: 401, request_id: 'r1' };
    server.answer = (response) =>
      response
        .writeHead(401, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify({ ...problem, detail: 'no key\u001b[2J\nDone.' }));
    const { exit, err } = await cli(['cluster']);
    expect(exit).toBe(3);
    expect(err).toMatch(
      /^Refused \(401 unauthenticated\): no key\\u\{1b\}\[2J\\u\{a\}Done\.\nSet CLOUD_CONNECTOR_TOKEN/,
    );
  });

  it('prints once what the only error of a refusal says as well', async () => {
    const problem = { type: 'urn:cloud-connector:problem:invalid-request', title: 'No', status: 400, request_id: 'r1' };
    const detail = 'path parameter message_id: must be a UUID';
    const wrong = { in: 'path', name: 'message_id', detail: 'must be a UUID' };
    const errOf = async (...errors: object[]): Promise<string> => {
      server.answer = (response) =>
        response
          .writeHead(400, { 'content-type': 'application/problem+json' })
          .end(JSON.stringify({ ...problem, detail, errors }));
      return (await cli(['messages', 'get', 'x'])).err;
    };
    expect(await errOf(wrong)).toBe(
      `Refused (400 invalid-request): ${detail}\nRequest r1 in the logs of the gateway.\n`,
    );
    for (const other of [
      { ...wrong, name: 'wait' },
      { ...wrong, detail: 'must be short' },
    ])
      expect(await errOf(other)).toContain(`\n  path ${other.name}: ${other.detail}\n`);
    expect(await errOf(wrong, wrong)).toContain('\n  path message_id: must be a UUID\n');
  });

  it.each([
    [
      '[{"client_id":"a","directive":"b","payload":9007199254740993}]',
      'the file has the number 9007199254740993, which',
    ],
    [
      '{"client_id":"a","directive":"b"}\n{"client_id":"a","directive":"b","payload":[1e999]}',
      'line 2 has the number 1e999',
    ],
    [
      '{"client_id":"a","directive":"b","payload":0.12345678901234567890}\n{}',
      'line 1 has the number 0.1234567890123456',
    ],
  ])('refuses to round a number of a message of a file: %s', async (text, why) => {
    const file = join(mkdtempSync(join(tmpdir(), 'send-many-')), 'messages.txt');
    writeFileSync(file, text);
    const { exit, out, err } = await cli(['messages', 'send-many', file]);
    rmSync(dirname(file), { recursive: true });
    expect([exit, out]).toEqual([2, '']);
    expect(err).toContain(why);
  });

  it('sends the token of the environment, and escapes control characters in the facts of a client', async () => {
    const connection = { client_id: 'a', type: 'host', state: 'online', connected_at: 'now', held_messages: 0 };
    let credentials: string | undefined;
    server.answer = (response, request) => {
      credentials = request.headers.authorization;
      const data = [{ ...connection, facts: { fqdn: '\u001b]0;x\u0007\u202e' } }];
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ data, next_cursor: null }));
    };
    const shown = await cli(['connections'], { CLOUD_CONNECTOR_TOKEN: 'key\n' });
    expect([shown.exit, credentials]).toEqual([0, 'Bearer key']);
    const scripted = await cli(['connections', '--json']);
    for (const text of [shown.out, scripted.out]) expect(text.trimEnd()).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
    expect(JSON.parse(scripted.out)).toMatchObject({ facts: { fqdn: '\u001b]0;x\u0007\u202e' } });
  });

  it('adds every option of connections to the query', async () => {
    let asked = '';
    server.answer = (response, request) => {
      asked = request.url ?? '';
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ data: [], next_cursor: null }));
    };
    const queryOf = async (...options: string[]): Promise<Record<string, string>> => {
      await cli(['connections', '--json', ...options]);
      return Object.fromEntries(new URL(asked, server.url).searchParams);
    };
    const facts = await queryOf('--fact', 'fqdn=a=b', '--fact', 'machine_id=m');
    expect(facts).toEqual({ fqdn: 'a=b', machine_id: 'm', limit: '1000' });
    expect(await queryOf('--prefix', 'rack-7', '--offline-reason', 'goodbye', '--held', '--refused')).toEqual({
      ...{ client_id_prefix: 'rack-7', offline_reason: 'goodbye', held: 'true', refused: 'true', limit: '1000' },
    });
  });

  it('says of a message that its key was used before, and that nothing is sent', async () => {
    const body = { message_id: 'm', client_id: 'a', status: 'queued' };
    server.answer = (response) => response.setHeader('idempotency-replayed', 'true').end(JSON.stringify(body));
    const line = ['messages', 'send', 'a', 'd', '--idempotency-key', 'k'];
    expect((await cli(line)).out).toBe('m is queued; it was accepted before with this key, and is not sent twice\n');
    expect(JSON.parse((await cli([...line, '--json'])).out)).toEqual({ ...body, replayed: true });
    server.answer = (response) => response.end(JSON.stringify(body));
    expect((await cli(line)).out).toBe('m is queued\n');
    expect(JSON.parse((await cli([...line, '--json'])).out)).toEqual(body);
  });

  it('prints the refused_until of the response, if the response has a body', async () => {
    const until = '2030-01-01T00:00:00.000Z';
    server.answer = (response) => response.writeHead(202).end(JSON.stringify({ client_id: 'a', refused_until: until }));
    expect((await cli(['disconnect', 'a', '--reconnect-after', 'PT2S'])).out).toBe(
      `a is asked to disconnect; refused until: ${until}\n`,
    );
    server.answer = (response) => response.writeHead(202).end();
    expect((await cli(['disconnect', 'a', '--reconnect-after', 'PT2S'])).out).toBe('a is asked to disconnect\n');
  });

  it.each([
    [
      { receive_maximum: 512, queue_limit: null },
      /^BROKER\nNo ingester reports: is one running\? This is what .*:\nreceive_maximum +512\nqueue_limit +-\n$/m,
    ],
    [null, /^No ingester has checked the broker yet\.\n$/m],
    // As a gateway of an older release answers.
    [undefined, /Every shard has an ingester that owns it\.\n$/],
  ])('the command cluster shows what is known of the broker: %j', async (broker, shown) => {
    const body = JSON.stringify({ members: [], shards: [], lanes: [], broker });
    server.answer = (response) => response.setHeader('content-type', 'application/json').end(body);
    expect(await cli(['cluster'])).toMatchObject({ exit: 0, out: expect.stringMatching(shown) as string });
    expect(JSON.parse((await cli(['cluster', '--json'])).out)).toEqual(JSON.parse(body));
  });

  it('the command cluster shows the dispatchers and the gateways', async () => {
    const since = '2026-11-30T06:00:00.000Z';
    const dispatchers = [
      { id: 'd1/1', name: 'd1', since, takes_shards: true, shards: 3 },
      { id: 'd2/1', name: 'd2', since: null, takes_shards: false, shards: 0 },
      { id: 'd3/1', name: 'd3', since, takes_shards: false, reason: 'stopping', shards: 0 },
    ];
    const body = { members: [], dispatchers, gateways: [{ id: 'g/1', name: 'g', since }], shards: [], lanes: [] };
    server.answer = (response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    const { out } = await cli(['cluster']);
    expect(out).toMatch(
      /^DISPATCHER +SINCE +SHARDS\nd1\/1 +2026-11-30T06:00:00.000Z +3\nd2\/1 \(takes no shards\) +0\nd3\/1 \(takes no shards: stopping\) /m,
    );
    expect(out).toMatch(/^GATEWAY +SINCE\ng\/1 +2026-11-30T06:00:00.000Z$/m);
  });

  it('the command cluster says that no dispatcher runs', async () => {
    const body = { members: [], dispatchers: [], gateways: [], shards: [], lanes: [] };
    server.answer = (response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    expect((await cli(['cluster'])).out).toMatch(/^No dispatcher reports: is one running\? Messages wait for one\.$/m);
  });

  it.each([
    [['fit', 'fit'], /^BROKER\nreceive_maximum/m],
    [['fit', 'troubled'], /^BROKER\nNot reached by vm\/1\.\nreceive_maximum/m],
    [['unfit', 'troubled'], /^BROKER\nNo ingester reaches it\. This is what the last check found:\nreceive_maximum/m],
  ])('the command cluster shows which ingesters do not reach the broker: %j', async (fitness, shown) => {
    const members = fitness.map((each, i) => ({
      id: `vm/${i}`,
      name: 'vm',
      since: null,
      fitness: each,
      shards: 0,
      lanes: 0,
    }));
    const body = JSON.stringify({ members, shards: [], lanes: [], broker: { receive_maximum: 512 } });
    server.answer = (response) => response.setHeader('content-type', 'application/json').end(body);
    const { out } = await cli(['cluster']);
    expect(out).toMatch(shown);
    expect(out).toMatch(/^vm\/0 .*\nvm\/1 /m);
  });

  it('the command messages shows those of all pages, and passes its options on', async () => {
    const asked: Record<string, string>[] = [];
    const message = { message_id: 'm', client_id: 'a', directive: 'd', status: 'held', created_at: 'now' };
    server.answer = (response, request) => {
      const query = Object.fromEntries(new URL(request.url ?? '', server.url).searchParams);
      asked.push(query);
      // A page may be empty, and a next one may follow.
      const page =
        query['cursor'] === undefined ? { data: [], next_cursor: 'next' } : { data: [message], next_cursor: null };
      response.setHeader('content-type', 'application/json').end(JSON.stringify(page));
    };
    const { exit, out } = await cli(['messages', '--status', 'held', '--since', '2026-11-30T06:00:00Z']);
    expect(exit).toBe(0);
    expect(out).toMatch(/^m +a +d +held +now$/m);
    const query = { status: 'held', since: '2026-11-30T06:00:00Z', limit: '100' };
    expect(asked).toEqual([query, { ...query, cursor: 'next' }]);
    expect((await cli(['messages', '--client-id', 'a', '--limit', '1', '--json'])).out).toBe(
      `${JSON.stringify(message)}\n`,
    );
    expect(asked.at(-1)).toMatchObject({ client_id: 'a', limit: '1' });
  });

  it.each([
    ['2026-11-30T06:00:00Z', '?since=2026-11-30T06%3A00%3A00Z', undefined],
    // The service says what is wrong with it.
    ['2026-11-30', '?since=2026-11-30', undefined],
    ['AgGtFbRdwA', '', 'AgGtFbRdwA'],
  ])('the command watch begins at a time or after an event: --since %s', async (since, query, lastEventId) => {
    const asked: unknown[] = [];
    server.answer = (response, { url: path, headers }) => {
      asked.push(path, headers['last-event-id']);
      const problem = { type: 'urn:cloud-connector:problem:invalid', title: 'No', status: 422, detail: 'why' };
      response.writeHead(422, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
    };
    expect((await cli(['watch', '--since', since])).exit).toBe(3);
    expect(asked).toEqual([`/v1/events${query}`, lastEventId]);
  });

  it('the command stats shows what the caller may see', async () => {
    const counts = { host: 2, proxy: 0, total: 2 };
    const figures = {
      at: '2026-11-30T06:00:00.000Z',
      connections: { online: counts, offline: counts, total: 4 },
      messages: { unfinished: null, in_flight: 7 },
      waiting: null,
      last_hour: null,
    };
    server.answer = (response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(figures));
    expect((await cli(['stats'])).out).toMatch(/^online +2\noffline +2\nmessages in flight +7\n$/m);
    const hour = { messages: { sent: [1, 2] }, latency: { p50_ms: 3, p99_ms: null } };
    server.answer = (response) =>
      response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({ ...figures, messages: null, last_hour: hour }));
    const { out } = await cli(['stats']);
    expect(out).toMatch(/^last hour: sent +3\nlast hour: p50 ms to the broker +3\n$/m);
    expect(out).not.toContain('messages');
    const waiting = { connections_ready: 2, oldest_ready_ms: 125_400, connections_in_flight: 1, connections_held: 0 };
    server.answer = (response) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ ...figures, waiting }));
    expect((await cli(['stats'])).out).toMatch(
      /^connections waiting for a dispatcher +2\nlongest wait for a dispatcher +2m5s\nconnections with a message being published +1\n/m,
    );
  });

  it('the command whoami shows the caller', async () => {
    const caller = { id: 'key:a', account: null, scopes: ['messages:read', 'events:read'] };
    server.answer = (response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(caller));
    const { exit, out } = await cli(['whoami']);
    expect(exit).toBe(0);
    expect(out).toMatch(/^id +key:a\naccount +-\nscopes +messages:read, events:read$/m);
    expect(JSON.parse((await cli(['whoami', '--json'])).out)).toEqual(caller);
  });

  it.each([
    ['offline', 200, 'the client is offline'],
    ['online', 200, 'the message could not be sent'],
    // The key may read no connections.
    ['offline', 403, 'the message could not be sent'],
  ])('says of an expired call whether the client is offline: %s, %i', async (state, status, text) => {
    const history = [{ status: 'expired', at: 'now', details: null }];
    const message = { message_id: 'm', client_id: 'a', status: 'expired', answer: null, status_history: history };
    server.answer = (response, { method }) => {
      const body = method === 'POST' ? message : { client_id: 'a', state };
      response.writeHead(method === 'POST' ? 200 : status).end(JSON.stringify(body));
    };
    expect(await cli(['messages', 'call', 'a', 'd'])).toEqual({
      ...{ exit: 1, out: '', err: `the call of a expired: no answer within 30 s, because ${text} (message m)\n` },
    });
  });

  it('says after a call without an answer where a later one is', async () => {
    const history = [{ status: 'unanswered', at: 'now', details: null }];
    const message = { message_id: 'm', client_id: 'a', status: 'unanswered', answer: null, status_history: history };
    server.answer = (response) => response.end(JSON.stringify(message));
    const { exit, err } = await cli(['messages', 'call', 'a', 'd']);
    expect(exit).toBe(1);
    expect(err.split('\n')[1]).toMatch(/^The client may still answer: cloud-connector messages get m\. .*--timeout/);
  });

  it('names the place of a wrong parameter, or the pointer of a wrong member', async () => {
    const problem = {
      type: 'urn:cloud-connector:problem:invalid',
      title: 'No',
      status: 422,
      request_id: 'r1',
      detail: 'no',
    };
    const errors = [
      { in: 'query', name: 'limit', detail: 'too large' },
      { pointer: '/a', detail: 'missing' },
    ];
    server.answer = (response) =>
      response
        .writeHead(422, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify({ ...problem, errors }));
    expect((await cli(['cluster'])).err).toContain('  query limit: too large\n  /a: missing\n');
  });
});
