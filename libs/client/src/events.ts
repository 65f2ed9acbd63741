/**
 * The event stream as something that does not end: where the connection is lost, it is opened again behind the last
 * event that was told. The first connection fails as any call does, so that a wrong address or key is noticed.
 */
import { ProblemError, UnreachableError } from './errors.js';
import { blocksOf } from './event-blocks.js';
import type { Event, StreamEventsData } from './generated/types.gen.js';
import { abortWith, type Requester } from './requester.js';
import { ShardPositions } from './shard-positions.js';

/** `closed` is not among them: it is answered by a new connection. */
export type ConnectorEvent = Exclude<Event, { type: 'closed' }> & {
  /** Where to go on behind it, as `lastEventId`. */
  id: string;
};
export type EventType = Exclude<ConnectorEvent['type'], 'gap'>;

export interface EventsOptions {
  /** Only these; without it, all. A `gap` is told in any case. */
  types?: readonly EventType[] | undefined;
  /** Only what is about this client. */
  clientId?: string | undefined;
  /** Go on behind this event, rather than begin with what happens from now on. */
  lastEventId?: string | undefined;
  /** Ends the events. */
  signal?: AbortSignal | undefined;
  /** A connection on which nothing comes for so long is taken for lost; 60,000 by default, four heart-beats. */
  silenceMs?: number | undefined;
}

/** What a subscriber comes to know: a connection now stands, or an event. */
export type Told = 'opened' | ConnectorEvent;

const SILENCE_MS = 60_000;
const RETRY_MS = 1000;
const RETRY_CAP_MS = 10_000;

/** @throws ProblemError, UnreachableError */
export async function* follow(requester: Requester, options: EventsOptions): AsyncGenerator<Told, void, undefined> {
  const { signal } = options;
  let { lastEventId } = options;
  let retryMs = RETRY_MS;
  let stood = false;
  const positions = new ShardPositions();
  const over = (): boolean => signal?.aborted === true;
  for (let failures = 0; !over(); failures++) {
    const connection = new AbortController();
    const unlink = abortWith(connection, signal);
    let advisedMs = 0;
    try {
      const chunks = await open(requester, options, lastEventId, connection);
      stood = true;
      yield 'opened';
      for await (const { id = lastEventId, data, retry = retryMs } of blocksOf(chunks)) {
        [failures, retryMs, lastEventId] = [0, retry, id];
        const event = data === undefined ? undefined : (JSON.parse(data) as Event);
        if (event === undefined || event.type === 'closed' || !positions.advance(event)) continue;
        yield { ...event, id: id ?? '' };
      }
    } catch (error) {
      if (over()) return;
      if (!stood || !mayPass(error)) throw error;
      if (error instanceof ProblemError) advisedMs = (error.retryAfter ?? 0) * 1000;
    } finally {
      unlink();
      connection.abort();
    }
    await pause(Math.max(advisedMs, backoffMs(failures, retryMs)), signal);
  }
}

/** Resolves when the connection stands; what is told from then on is not missed. */
async function open(
  requester: Requester,
  { types, clientId, silenceMs = SILENCE_MS }: EventsOptions,
  lastEventId: string | undefined,
  connection: AbortController,
): Promise<AsyncIterable<string>> {
  const operation: StreamEventsData = {
    url: '/v1/events',
    query: { ...(types && { types: types.join(',') }), ...(clientId !== undefined && { client_id: clientId }) },
    headers: { ...(lastEventId !== undefined && { 'Last-Event-ID': lastEventId }) },
  };
  const silent = (): void => connection.abort(new UnreachableError(`the events fell silent for ${silenceMs} ms`));
  let silence = setTimeout(silent, silenceMs);
  connection.signal.addEventListener('abort', () => clearTimeout(silence));
  const chunks = await requester.stream(operation, connection.signal);

  async function* heard(): AsyncGenerator<string, void> {
    for await (const chunk of chunks) {
      clearTimeout(silence);
      silence = setTimeout(silent, silenceMs);
      yield chunk;
    }
  }
  return heard();
}

/** Whether it may be otherwise in a while. */
function mayPass(error: unknown): boolean {
  if (error instanceof ProblemError) return error.status === 429 || error.status >= 500;
  return error instanceof UnreachableError;
}

/** Doubles with each failure; half of it at random, so that a crowd spreads out. */
function backoffMs(failures: number, baseMs: number): number {
  const ceiling = Math.min(RETRY_CAP_MS, baseMs * 2 ** Math.min(failures, 16));
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}

/** Shorter where the signal says so. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
    if (signal?.aborted === true) done();
  });
}
