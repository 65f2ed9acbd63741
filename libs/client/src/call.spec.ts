/** Calls, with a service whose responses the test chooses. */
import { jest } from '@jest/globals';
import { gate } from '../../../test/support/servers.js';
import { CloudConnector } from './cloud-connector.js';
import { CallError, ProblemError, UnreachableError } from './errors.js';
import type { Progress } from './call.js';

type Reply = (request: Request) => Response | Promise<Response>;

/** The replies to the requests, in order. */
let replies: Reply[];
let requests: Request[];

beforeEach(() => {
  [replies, requests] = [[], []];
});

const connector = new CloudConnector({
  baseUrl: 'http://gateway',
  fetch: async (input, init) => {
    const request = new Request(input, init);
    requests.push(request.clone());
    const reply = replies.shift();
    if (reply === undefined) throw new TypeError('fetch failed');
    return reply(request);
  },
});

const json =
  (body: unknown, status = 200): Reply =>
  () =>
    Response.json(body, { status });

const problem =
  (status: number, kind: string, headers: Record<string, string> = {}): Reply =>
  () =>
    new Response(
      JSON.stringify({
        type: `urn:cloud-connector:problem:${kind}`,
        title: 'No',
        status,
        detail: 'why',
        request_id: 'r',
      }),
      { status, headers: { 'content-type': 'application/problem+json', ...headers } },
    );

function message(status: string, more: object = {}): object {
  const history = [{ status, at: 'now', details: status === 'failed' ? 'out of paper' : null }];
  return { message_id: 'm-1', client_id: 'printer', status, answer: null, status_history: history, ...more };
}

const accepted = json({ message_id: 'm-1', client_id: 'printer', status: 'queued' }, 202);
const sent = json(message('sent', { response_deadline: 'later' }));
const answered = json(message('answered', { answer: { payload: { pages: 3 }, late: false } }));

const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'the call did not fail',
    (error: unknown) => error,
  );

const isForEvents = ({ url }: Request): boolean => url.includes('/events');
const twice = (reply: Reply): Reply[] => [reply, reply];

/** The progress of another message, then that of the call. The stream stays open until it is aborted. */
function progressStream(onClosed: () => void): Reply {
  const event = (id: string, percent: number): string =>
    `id: 1\ndata: ${JSON.stringify({ type: 'message.progress', message_id: id, percent, details: null })}\n\n`;
  return ({ signal }) => {
    const start = (controller: ReadableStreamDefaultController): void => {
      controller.enqueue(new TextEncoder().encode(event('other', 1) + event('m-1', 50)));
      signal.addEventListener('abort', () => {
        controller.error(signal.reason);
        onClosed();
      });
    };
    return new Response(new ReadableStream({ start }), { headers: { 'content-type': 'text/event-stream' } });
  };
}

const print = (settings = {}): Promise<unknown> =>
  connector.call('printer', { directive: 'print', payload: 1 }, settings);

describe('a call', () => {
  it('waits for the answer with one request, and resolves with its payload', async () => {
    replies = [answered];
    expect(await print({ timeoutMs: 9500, idempotencyKey: 'job-7' })).toEqual({ pages: 3 });
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST http://gateway/v1/connections/printer/messages',
    ]);
    // The time of a request that is cut off would be lost: its wait ends before.
    expect(requests[0]?.headers.get('prefer')).toBe('wait=9');
    expect(requests[0]?.headers.get('idempotency-key')).toBe('job-7');
    expect(await requests[0]?.json()).toEqual({
      ...{ directive: 'print', payload: 1 },
      ...{ ttl_seconds: 10, response_timeout_seconds: 10 },
    });
  });

  it('has a key of its own, and resolves with undefined if the answer has no payload', async () => {
    const empty = json(message('answered', { answer: { payload: null, late: false } }));
    replies = [empty, empty];
    expect([await print(), await print()]).toEqual([null, null]);
    expect(new Set(requests.map(({ headers }) => headers.get('idempotency-key'))).size).toBe(2);
  });

  it('goes on waiting if the service has answered that the message is accepted', async () => {
    replies = [accepted, sent, answered];
    expect(await print({ timeoutMs: 200_000 })).toEqual({ pages: 3 });
    expect(requests.map(({ method, headers }) => `${method} ${headers.get('prefer')}`)).toEqual([
      'POST wait=60',
      'GET wait=60',
      'GET wait=60',
    ]);
  });

  it('pauses before it asks again if the service did not let it wait', async () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    replies = [accepted, sent, answered];
    expect(await print()).toEqual({ pages: 3 });
    expect(timers.mock.calls).toContainEqual([expect.any(Function), 1000]);
    timers.mockRestore();
  });

  it('ends at once if the message is sent and the service awaits no answer', async () => {
    replies = [accepted, json(message('sent'))];
    expect(await failure(print())).toMatchObject({ name: 'CallError', status: 'sent' });
    expect(requests).toHaveLength(2);
  });

  it.each([
    ['failed', 'the call of printer failed: out of paper (message m-1)', 'out of paper'],
    [
      'unanswered',
      'the call of printer failed: the client did not answer in time (message m-1)',
      'the client did not answer in time',
    ],
    ['cancelled', 'the call of printer failed: the message was cancelled (message m-1)', 'the message was cancelled'],
  ])('rejects if the message is %s', async (status, text, details) => {
    replies = [json(message(status))];
    const error = await failure(print());
    expect(error).toBeInstanceOf(CallError);
    expect(error).toMatchObject({ message: text, status, details, callMessage: { message_id: 'm-1' } });
  });

  it('rejects if its time has run out before the answer', async () => {
    replies = [accepted, sent];
    const error = await failure(print({ timeoutMs: 0.001 }));
    expect(error).toMatchObject({ name: 'CallError', status: 'sent', details: 'no answer within 0.000001 s' });
  });

  it.each([
    ['held', 'the client is offline'],
    ['queued', 'the message is still queued'],
  ])('says why the message is still %s then', async (status, why) => {
    replies = [accepted, json(message(status))];
    expect(await failure(print({ timeoutMs: 0.001 }))).toMatchObject({
      message: `the call of printer failed: no answer within 0.000001 s, because ${why} (message m-1)`,
    });
  });

  it.each([
    ['offline', 'the client is offline'],
    ['online', 'the message could not be sent'],
  ])('says of an expired message why it was not sent: the client is %s', async (state, why) => {
    replies = [json(message('expired')), json({ client_id: 'printer', state })];
    expect(await failure(print({ timeoutMs: 5000 }))).toMatchObject({
      message: `the call of printer expired: no answer within 5 s, because ${why} (message m-1)`,
      status: 'expired',
    });
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST http://gateway/v1/connections/printer/messages',
      'GET http://gateway/v1/connections/printer',
    ]);
  });

  it('says that an expired message was not sent if nobody says whether the client is offline', async () => {
    for (const reply of [problem(403, 'forbidden'), undefined]) {
      replies = [json(message('expired')), ...(reply ? [reply] : [])];
      expect(await failure(print())).toMatchObject({
        details: 'no answer within 30 s, because the message could not be sent',
      });
    }
  });

  it('rejects if the answer came but was not stored', async () => {
    replies = [json(message('answered', { answer: { payload: null, late: false, omitted: 'storage-full', size: 9 } }))];
    expect(await failure(print())).toMatchObject({ name: 'CallError', status: 'answered' });
  });

  it('asks again with the same key if the service cannot be reached or serves nobody now', async () => {
    replies = [() => Promise.reject(new TypeError('fetch failed')), problem(503, 'unavailable'), accepted, answered];
    expect(await print()).toEqual({ pages: 3 });
    const posts = requests.filter(({ method }) => method === 'POST');
    expect(posts).toHaveLength(3);
    expect(new Set(posts.map(({ headers }) => headers.get('idempotency-key'))).size).toBe(1);
  });

  it('asks once for what another request cannot cure', async () => {
    replies = [problem(404, 'unknown-connection')];
    expect(await failure(print())).toBeInstanceOf(ProblemError);
    replies = [problem(503, 'storage-full', { 'retry-after': '60' })];
    expect(await failure(print())).toBeInstanceOf(ProblemError);
    expect(requests).toHaveLength(2);
  });

  it.each([
    ['the key lacks the scope', problem(403, 'forbidden')],
    ['the key has been revoked', problem(401, 'unauthenticated')],
    ['the message is not kept any more', problem(404, 'unknown-message')],
    ['the service serves nobody for longer', problem(503, 'unavailable', { 'retry-after': '60' })],
  ])('fails as a call, and does not say that it was refused, if its answer cannot be read: %s', async (_, refusal) => {
    const begun = { message_id: 'm-1', client_id: 'printer', status: 'queued', created_at: 'now' };
    replies = [json(begun, 202), refusal];
    const error = await failure(print());
    expect(error).toBeInstanceOf(CallError);
    expect(error).toMatchObject({
      status: 'queued',
      details: expect.stringMatching(/^the message was accepted, but its answer cannot be read: No: why/) as string,
      callMessage: { message_id: 'm-1', status_history: [{ status: 'queued', at: 'now', details: null }] },
      cause: expect.any(ProblemError) as ProblemError,
    });
  });

  it('fails as a call, with the id of its message, if nothing answers once the message was accepted', async () => {
    replies = [accepted];
    const error = await failure(print({ timeoutMs: 100 }));
    expect(error).toBeInstanceOf(CallError);
    expect(error).toMatchObject({
      status: 'queued',
      details: expect.stringMatching(
        /^the message was accepted, but its answer cannot be read: .* cannot be reached/,
      ) as string,
      callMessage: { message_id: 'm-1' },
      cause: expect.any(UnreachableError) as UnreachableError,
    });
  });

  it.each([
    ['after a request without an answer', [undefined, problem(403, 'forbidden')]],
    ['after an answer that leaves it open', [problem(503, 'unavailable'), problem(401, 'unauthenticated')]],
    ['with a fault', [problem(500, 'internal')]],
    ['by a proxy', [problem(503, 'unavailable', { 'retry-after': '60' })]],
  ])('does not know whether it was done if it is refused %s', async (_, refusals) => {
    replies = refusals.map((one) => one ?? (() => Promise.reject(new TypeError('fetch failed'))));
    const error = await failure(print());
    expect(error).toBeInstanceOf(UnreachableError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/^nobody knows whether the message was accepted: No: why/) as string,
      cause: expect.any(ProblemError) as ProblemError,
    });
    expect(replies).toHaveLength(0);
  });

  it('ends when its time is over, also in the middle of a wait, and reads the message once more', async () => {
    const cut = gate();
    const waiting: Reply = ({ signal }) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          cut.open();
          reject(new DOMException('aborted', 'AbortError'));
        }),
      );
    replies = [accepted, waiting, sent];
    const error = await failure(print({ timeoutMs: 1000 }));
    expect(error).toMatchObject({ name: 'CallError', status: 'sent', details: 'no answer within 1 s' });
    await cut.passed;
    expect(requests.map(({ method, headers }) => `${method} ${headers.get('prefer')}`)).toEqual([
      'POST null',
      'GET wait=1',
      'GET null',
    ]);
  });

  it.each(['unanswered', 'expired', 'cancelled', 'failed'])(
    'says that a message which is %s has a late answer',
    async (status) => {
      replies = [json(message(status, { answer: { payload: { pages: 3 }, late: true } }))];
      expect(await failure(print())).toMatchObject({
        details: expect.stringMatching(/; it has answered late, which `answer` of the message shows$/) as string,
        callMessage: { answer: { payload: { pages: 3 } } },
      });
    },
  );

  it('ends with the reason of the signal', async () => {
    const stop = new AbortController();
    replies = [
      (request) =>
        new Promise((_, reject) => {
          request.signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
          stop.abort(new Error('enough'));
        }),
    ];
    expect(await failure(print({ signal: stop.signal }))).toMatchObject({ message: 'enough' });
  });

  it('cannot be told whether it was done if the service stays away', async () => {
    expect(await failure(print({ timeoutMs: 0.001 }))).toBeInstanceOf(UnreachableError);
  });

  it('reports progress while it waits, of its own message only, and closes the event stream', async () => {
    const [reported, closed] = [gate(), gate()];
    const later: Reply = async (request) => {
      await reported.passed;
      return answered(request);
    };
    const stream = progressStream(closed.open);
    replies = [accepted, ...twice((request) => (isForEvents(request) ? stream : later)(request))];
    const seen: (number | null)[] = [];
    const onProgress = ({ percent }: Progress): void => {
      seen.push(percent);
      reported.open();
    };
    expect(await print({ onProgress })).toEqual({ pages: 3 });
    expect(seen).toEqual([50]);
    expect(requests[0]?.headers.get('prefer')).toBeNull();
    await closed.passed;
  });

  it('reports the last progress also if the answer comes before the events', async () => {
    const progress = { percent: 100, details: null, at: 'now' };
    const ended = json(message('answered', { answer: { payload: 1, late: false }, progress }));
    const closed = gate();
    const silent: Reply = ({ signal }) => {
      signal.addEventListener('abort', () => closed.open());
      return new Response(new ReadableStream(), { headers: { 'content-type': 'text/event-stream' } });
    };
    replies = [accepted, ...twice((request) => (isForEvents(request) ? silent : ended)(request))];
    const seen: Progress[] = [];
    await print({ onProgress: (one: Progress) => void seen.push(one) });
    expect(seen).toEqual([{ percent: 100, details: null }]);
    await closed.passed;
  });

  it('ends with what the function for its progress throws', async () => {
    const closed = gate();
    const never: Reply = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    const stream = progressStream(closed.open);
    replies = [accepted, ...twice((request) => (isForEvents(request) ? stream : never)(request))];
    const onProgress = (): void => {
      throw new Error('no such bar');
    };
    expect(await failure(print({ onProgress }))).toMatchObject({ message: 'no such bar' });
    await closed.passed;
  });

  it('needs no events: without them it reports no progress', async () => {
    const refused = problem(403, 'forbidden');
    replies = [accepted, ...twice((request) => (isForEvents(request) ? refused : answered)(request))];
    expect(await print({ onProgress: () => undefined })).toEqual({ pages: 3 });
  });
});
