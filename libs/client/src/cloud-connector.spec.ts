/** The client and an HTTP server whose responses the test chooses, since a real gateway seldom fails. */
import { getEventListeners, once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '../../../test/support/servers.js';
import { CloudConnector } from './cloud-connector.js';
import { ProblemError, UnreachableError } from './errors.js';
import type { Problem } from './generated/types.gen.js';
import { EventPosition, type ConnectorEvent } from './events.js';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

let server: Server;
let url: string;
/** The responses to the requests, in order. */
let answers: Answer[];
let requests: IncomingMessage[];

beforeEach(async () => {
  [answers, requests] = [[], []];
  server = createServer((request, response) => {
    requests.push(request);
    const answer = answers.shift();
    if (answer === undefined) response.destroy();
    else answer(response, request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const client = (more: Partial<ConstructorParameters<typeof CloudConnector>[0]> = {}): CloudConnector =>
  new CloudConnector({ baseUrl: url, ...more });

const json =
  (body: unknown): Answer =>
  (response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));

const refuse =
  (status: number, kind: string, headers: Record<string, string> = {}): Answer =>
  (response) => {
    const body = { type: `urn:cloud-connector:problem:${kind}`, title: 'No', status, detail: 'why', request_id: 'r1' };
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(body));
  };

/** An event stream with this text, which then ends, breaks or stays open. */
const stream =
  (text: string, end: 'end' | 'break' | 'stay'): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    response.write(text, () => {
      if (end === 'end') response.end();
      else if (end === 'break') response.destroy();
    });
  };

const status = (id: string, messageId: string, is: string): string =>
  `id: ${id}\nevent: message.status\ndata: {"type":"message.status","message_id":"${messageId}","status":"${is}"}\n\n`;

async function take(events: AsyncIterable<ConnectorEvent>, count: number): Promise<ConnectorEvent[]> {
  const taken: ConnectorEvent[] = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'the call did not fail',
    (error: unknown) => error,
  );

describe('CloudConnector', () => {
  it('escapes ids, leaves out absent parameters, and sends the token', async () => {
    answers = [json({ data: [], next_cursor: null })];
    const token = (): Promise<string> => Promise.resolve('key');
    await client({ baseUrl: `${url}/prefix/`, token }).listMessages('a b?', { status: 'sent' }, { requestId: 'r2' });
    expect([requests[0]?.method, requests[0]?.url]).toEqual([
      'GET',
      '/prefix/v1/connections/a%20b%3F/messages?status=sent',
    ]);
    expect(requests[0]?.headers).toMatchObject({ authorization: 'Bearer key', 'x-request-id': 'r2' });
  });

  it.each(['', '.', '..'])('refuses the id "%s", which would lead to another path, without a call', async (id) => {
    expect(await failure(client().forgetConnection(id))).toBeInstanceOf(RangeError);
    expect(requests).toEqual([]);
  });

  it.each(['', '127.0.0.1:3000', 'localhost:3000', 'ftp://x', 'http://', '/v1'])(
    'refuses "%s" as the address of a gateway',
    (baseUrl) => {
      const text = `"${baseUrl}" is not the address of a gateway, such as https://connector.example.com`;
      expect(() => new CloudConnector({ baseUrl })).toThrow(new TypeError(text));
    },
  );

  it.each(['/v1', '/v1/', '/prefix/v1'])('refuses an address with the version of the API: %s', (path) => {
    const baseUrl = `http://gateway${path}`;
    const text = `"${baseUrl}" must not end in /v1, which the client adds`;
    expect(() => new CloudConnector({ baseUrl })).toThrow(new TypeError(text));
  });

  it('says that a token is empty, without a call', async () => {
    expect(await failure(client({ token: '' }).getCluster())).toMatchObject({
      name: 'RangeError',
      message: 'the token is empty: set it, or leave it out if the gateway requires no credentials',
    });
    expect(requests).toEqual([]);
  });

  it('keeps a token that cannot be sent out of the error message', async () => {
    const error = (await failure(client({ token: 'secret\n' }).getCluster())) as Error;
    expect(error.message).not.toContain('secret');
  });

  it('throws a ProblemError for a problem document', async () => {
    answers = [refuse(429, 'outbox-full', { 'retry-after': '7' })];
    const error = await failure(client().sendMessage('a', { directive: 'x' }));
    expect(error).toBeInstanceOf(ProblemError);
    expect(error).toMatchObject({ status: 429, kind: 'outbox-full', detail: 'why', requestId: 'r1', retryAfter: 7 });
  });

  it('throws a ProblemError or an UnreachableError for an answer of a proxy', async () => {
    answers = [(response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<p>Bad'), json(undefined)];
    expect(await failure(client().getCluster())).toMatchObject({
      status: 502,
      type: 'about:blank',
      retryAfter: undefined,
    });
    answers = [(response) => response.end('<p>Welcome')];
    expect(await failure(client().getCluster())).toBeInstanceOf(UnreachableError);
  });

  it('throws an UnreachableError without an answer or after the time limit, and the reason of the signal after an abort', async () => {
    const unreachable = await failure(client({ baseUrl: 'http://127.0.0.1:2' }).getCluster());
    expect(unreachable).toBeInstanceOf(UnreachableError);
    expect((unreachable as Error).message).toContain('ECONNREFUSED');
    answers = [() => undefined, () => undefined];
    expect(await failure(client({ timeoutMs: 50 }).getCluster())).toBeInstanceOf(UnreachableError);
    const calling = new AbortController();
    const called = client().getCluster({ signal: calling.signal });
    calling.abort(new Error('enough'));
    expect(await failure(called)).toMatchObject({ message: 'enough' });
  });

  it('says what to do about an error', async () => {
    const problem = (type: string, detail: string, status: number, retryAfter?: number): unknown =>
      new ProblemError({ type: `urn:x:${type}`, title: 'No', status, detail, request_id: 'r' } as Problem, retryAfter)
        .message;
    expect([
      problem('unauthenticated', 'send a key', 401),
      problem('forbidden', 'these credentials do not have the scope a:read', 403),
      problem('forbidden', 'without credentials the API serves only this machine', 403),
      problem('unavailable', 'starting', 503, 2),
      problem('not-found', 'this is not served here', 404),
      problem('not-found', 'no sweep "x" is kept', 404),
    ]).toEqual([
      'No: send a key. Set the token of the client to an API key or a token that the gateway knows.',
      'No: these credentials do not have the scope a:read. Use a key that has this scope.',
      'No: without credentials the API serves only this machine',
      'No: starting. Try again in 2 s.',
      'No: this is not served here. Is the gateway older than this client?',
      'No: no sweep "x" is kept',
    ]);
    const { message } = (await failure(client({ baseUrl: 'http://127.0.0.1:2' }).whoami())) as Error;
    expect(message).toMatch(/ECONNREFUSED 127\.0\.0\.1:2; is the gateway running there\?$/);
    // As a server for TLS does when it gets plain HTTP; the test server does so without an answer.
    expect(await failure(client().whoami())).toMatchObject({
      message: expect.stringMatching(/; is the gateway running there, or is it https, not http\?$/) as string,
    });
  });

  it('passes the headers of a response on, and not those of an error', async () => {
    const replayed: (string | null)[] = [];
    const onHeaders = (headers: Headers): void => void replayed.push(headers.get('idempotency-replayed'));
    answers = [(response) => response.setHeader('idempotency-replayed', 'true').end('{}'), refuse(503, 'unavailable')];
    await client().sendMessage('a', { directive: 'x' }, { onHeaders });
    await failure(client().whoami({ onHeaders }));
    expect(replayed).toEqual(['true']);
  });

  it('leaves no listener at a signal that lives longer than the call', async () => {
    const { signal } = new AbortController();
    const any = jest.spyOn(AbortSignal, 'any');
    answers = [json({}), json({ status: 404 })];
    await client().getCluster({ signal });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(await failure(client({ baseUrl: 'http://127.0.0.1:2' }).getCluster({ signal }))).toBeDefined();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    // Its listeners would not be among those of the signal.
    expect(any).not.toHaveBeenCalled();
    any.mockRestore();
    expect(await failure(client().getCluster({ signal: AbortSignal.abort(new Error('before')) }))).toMatchObject({
      message: 'before',
    });
  });

  it('reads page after page until there is no next cursor', async () => {
    answers = [json({ data: [1, 2], next_cursor: 'c' }), json({ data: [], next_cursor: 'd' })];
    answers.push(json({ data: [3], next_cursor: null }));
    const found: unknown[] = [];
    for await (const one of client().connections({ state: 'online' })) found.push(one);
    expect(found).toEqual([1, 2, 3]);
    expect(requests.map((request) => new URL(request.url ?? '', url).search)).toEqual([
      '?limit=1000&state=online',
      '?limit=1000&state=online&cursor=c',
      '?limit=1000&state=online&cursor=d',
    ]);
  });
});

describe('events()', () => {
  it('resumes after the last id, whether the stream ended, broke or was refused for a while', async () => {
    answers = [
      stream(`retry: 1\nid: a\n\n${status('b', 'm', 'queued')}data: {"type":"closed","reason":"too-slow"}\n\n`, 'end'),
      // An id without an event counts; an event that is not complete does not.
      stream(': heartbeat\nid: c\n\nid: d\ndata: {"type":"message.st', 'break'),
      refuse(503, 'unavailable'),
      stream(status('e', 'm', 'sent'), 'stay'),
    ];
    const taken = await take(client().events({ types: ['message.status'], clientId: 'x y' }), 2);
    expect(taken.map(({ id, type }) => [id, type])).toEqual([
      ['b', 'message.status'],
      ['e', 'message.status'],
    ]);
    expect(requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, 'b', 'c', 'c']);
    expect(requests[3]?.url).toBe('/v1/events?types=message.status&client_id=x+y');
  });

  it('drops older events of a shard if a resumed stream begins earlier', async () => {
    const about = (id: string, position: string): string =>
      status(id, position, 'sent').replace('{', `{"event_id":"${position}",`);
    answers = [
      stream(`retry: 1\nid: b\n\n${about('c', '0-3000-1')}`, 'end'),
      // The first is from before the first connection, the second was handed out, and the third is of another shard.
      stream(about('b', '0-2000-0') + about('c', '0-3000-1') + about('c', '1-2500-0') + about('d', '0-3000-2'), 'stay'),
    ];
    const taken = await take(client().events(), 3);
    expect(taken.map((event) => 'event_id' in event && event.event_id)).toEqual(['0-3000-1', '1-2500-0', '0-3000-2']);
  });

  it.each([new Date('2026-11-30T06:00:00Z'), '2026-11-30T07:00:00.000+01:00'])(
    'begins at %p, asks for it until it has an id, and drops what a resume repeats from before it',
    async (since) => {
      const about = (id: string, at: string): string =>
        status(id, id, 'sent').replace('{', `{"event_id":"0-${Date.parse(at)}-1","at":"${at}",`);
      answers = [
        stream('retry: 1\n\n', 'break'),
        stream('retry: 1\nid: a\n\n', 'end'),
        stream(about('b', '2026-11-30T05:59:59.999Z') + about('c', '2026-11-30T06:00:00.000Z'), 'stay'),
      ];
      const taken = await take(client().events({ since, types: ['message.status'], clientId: 'x' }), 1);
      expect(taken.map(({ id }) => id)).toEqual(['c']);
      const asked = requests.map((request) => new URL(request.url ?? '', url).searchParams.get('since'));
      const text = since instanceof Date ? '2026-11-30T06:00:00.000Z' : since;
      expect(asked).toEqual([text, text, null]);
      expect(requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, undefined, 'a']);
      expect(requests[2]?.url).toBe('/v1/events?types=message.status&client_id=x');
    },
  );

  it('resumes after an id, and not at a time, if it has both', async () => {
    answers = [
      stream(status('b', 'm', 'sent').replace('{', '{"event_id":"0-1-1","at":"2026-11-30T05:00:00Z",'), 'stay'),
    ];
    const taken = await take(client().events({ since: '2026-11-30T06:00:00Z', lastEventId: 'a' }), 1);
    expect(taken.map(({ id }) => id)).toEqual(['b']);
    expect([requests[0]?.url, requests[0]?.headers['last-event-id']]).toEqual(['/v1/events', 'a']);
  });

  it('goes on at a position that another call has reached, also by a heartbeat, and repeats nothing', async () => {
    const at = (ms: number, id: string): string =>
      `id: ${id}\ndata: {"type":"shard.moved","event_id":"1-${ms}-0","shard":1}\n\n`;
    const position = new EventPosition();
    answers = [
      stream(`${at(1, 'a')}id: b\n\n`, 'end'),
      stream(at(2, 'c'), 'stay'),
      stream(at(2, 'c') + at(3, 'd'), 'stay'),
    ];
    const ids = async (count: number): Promise<string[]> =>
      (await take(client().events({ position }), count)).map(({ id }) => id);
    expect(await ids(2)).toEqual(['a', 'c']);
    expect(await ids(1)).toEqual(['d']);
    expect(requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, 'b', 'c']);
  });

  it('throws if the first connection fails, and later for an error that is not transient', async () => {
    answers = [refuse(503, 'unavailable')];
    expect(await failure(take(client().events(), 1))).toMatchObject({ status: 503 });
    answers = [json({ status: 'ok' })];
    expect(await failure(take(client().events(), 1))).toMatchObject({
      message: expect.stringContaining('answered without an event stream') as string,
    });
    answers = [stream('retry: 1\n\n', 'end'), refuse(401, 'unauthenticated')];
    expect(await failure(take(client().events(), 1))).toMatchObject({ status: 401 });
  });

  it('opens another connection if one sends nothing for too long', async () => {
    const silent = stream('retry: 1\nid: a\n\n', 'stay');
    const answer: Answer = (response, request) => {
      const resumed = request.headers['last-event-id'] === 'a';
      (resumed ? stream(status('b', 'm', 'sent'), 'stay') : silent)(response, request);
    };
    // On a busy machine the first connection may be given up before its first bytes have come, which ends the events.
    await eventually('another connection has the event', async () => {
      answers = Array<Answer>(100).fill(answer);
      expect(await take(client().events({ silenceMs: 100 }), 1)).toMatchObject([{ message_id: 'm', status: 'sent' }]);
    });
  });

  it('ends with the signal and closes its connection', async () => {
    const stopping = new AbortController();
    let closed: Promise<unknown> = Promise.resolve();
    answers = [
      (response, request) => {
        closed = once(response, 'close');
        stream(status('a', 'm', 'sent'), 'stay')(response, request);
      },
    ];
    const seen: string[] = [];
    for await (const { id } of client().events({ signal: stopping.signal })) {
      seen.push(id);
      stopping.abort();
    }
    await closed;
    expect(seen).toEqual(['a']);
  });
});

it('events() leaves no listener at its signal for each connection that it has had', async () => {
  const { signal } = new AbortController();
  answers = Array.from({ length: 5 }, (_, i) => stream(`retry: 1\n\n${status(`${i}`, `m${i}`, 'sent')}`, 'end'));
  const listening: number[] = [];
  for await (const { id } of client().events({ signal })) {
    listening.push(getEventListeners(signal, 'abort').length + dependents(signal));
    if (id === '4') break;
  }
  expect(listening).toEqual([1, 1, 1, 1, 1]);
  expect(getEventListeners(signal, 'abort').length + dependents(signal)).toBe(0);
});

/** The number of signals that `AbortSignal.any` has made of it; Node keeps them at the signal. */
function dependents(signal: AbortSignal): number {
  const members = signal as unknown as Record<symbol, unknown>;
  const sets = Object.getOwnPropertySymbols(signal).map((symbol) => members[symbol]);
  return sets.reduce<number>((sum, set) => sum + (set instanceof Set ? set.size : 0), 0);
}

describe('waitForMessage()', () => {
  const message = (is: string): Answer => json({ message_id: 'm', client_id: 'c', status: is, status_history: [] });

  it('opens no event stream if the message has its last status already', async () => {
    answers = [message('sent')];
    expect(await client().waitForMessage('m')).toMatchObject({ status: 'sent' });
    expect(requests).toHaveLength(1);
  });

  it('misses no last status between the first read and the stream', async () => {
    answers = [message('queued'), stream('retry: 1\n\n', 'stay'), message('expired')];
    expect(await client().waitForMessage('m')).toMatchObject({ status: 'expired' });
  });

  it('follows the events of its message, and reads the message again after a gap', async () => {
    const events = status('a', 'other', 'sent') + status('b', 'm', 'in_flight') + 'data: {"type":"gap"}\n\n';
    answers = [message('queued'), stream(events + status('c', 'm', 'failed'), 'stay')];
    answers.push(message('queued'), message('in_flight'), message('failed'));
    expect(await client().waitForMessage('m')).toMatchObject({ status: 'failed' });
    expect(requests.filter((request) => request.url === '/v1/messages/m')).toHaveLength(4);
  });

  it('throws the reason of the signal', async () => {
    const reason = new Error('enough');
    const stopping = new AbortController();
    answers = [message('held'), stream('retry: 1\n\n', 'stay'), message('held')];
    const waiting = failure(client().waitForMessage('m', { signal: stopping.signal }));
    while (requests.length < 3) await once(server, 'request');
    stopping.abort(reason);
    expect(await waiting).toBe(reason);
  });
});
