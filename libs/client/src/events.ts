/**
 * The endless event stream: if the connection is lost, the client opens another one and resumes after the last event. If the
 * first connection fails, the caller gets the error, so that a wrong address or key is noticed.
 */
import { ProblemError, UnreachableError } from './errors.js';
import { blocksOf } from './event-blocks.js';
import type { Event, EventFilter, StreamEventsData } from './generated/types.gen.js';
import { checkMs } from './numbers.js';
import { pause } from './pause.js';
import { abortWith, type Requester } from './requester.js';
import { ShardPositions } from './shard-positions.js';

/** An event. `closed` is not among them: after it the client opens a new connection. */
export type ConnectorEvent = Exclude<Event, { type: 'closed' }> & {
  /** Pass it as `lastEventId` to resume after this event. */
  id: string;
};
export type EventType = Exclude<ConnectorEvent['type'], 'gap'>;

export interface EventsOptions {
  /**
   * Only events of these types, or with `connection.*` all of a kind; by default `connection.*`, `message.status`,
   * `message.unmatched_error`, `shard.moved` and `sweep.*`. `gap` events always come.
   */
  types?: readonly EventFilter[] | undefined;
  /** Only events of this client. */
  clientId?: string | undefined;
  /** Resume after this event; without it and `since`, only new events come. */
  lastEventId?: string | undefined;
  /** Begin with the events of this time, a `Date` or an RFC 3339 timestamp. `lastEventId` wins over it. */
  since?: Date | string | undefined;
  /** How far the reader has got. Passed to the next call as well, it makes that one go on there, and repeat nothing. */
  position?: EventPosition | undefined;
  /** Ends the events. */
  signal?: AbortSignal | undefined;
  /** A connection without data for so long counts as lost, in milliseconds, up to 24 days; 60,000 by default, four heartbeats. */
  silenceMs?: number | undefined;
  /** Called each time a connection is open (true) and each time it has ended (false). */
  onOpen?: ((open: boolean) => void) | undefined;
}

/** How far a reader of events has got. */
export class EventPosition {
  /** The cursor that was reached, also without an event. */
  lastEventId: string | undefined;
  shards: ShardPositions | undefined;
}

/** An event, or `opened` each time a connection is open. */
export type StreamItem = 'opened' | ConnectorEvent;

const SILENCE_MS = 60_000;
const RETRY_MS = 1000;
const RETRY_CAP_MS = 10_000;

/** @throws ProblemError, UnreachableError, RangeError for a time that is none */
export async function* follow(
  requester: Requester,
  options: EventsOptions,
): AsyncGenerator<StreamItem, void, undefined> {
  checkMs('silenceMs', options.silenceMs);
  const { signal, position = new EventPosition() } = options;
  position.lastEventId ??= options.lastEventId;
  const since = position.lastEventId === undefined ? textOf(options.since) : undefined;
  const positions = (position.shards ??= new ShardPositions(since));
  let retryMs = RETRY_MS;
  let hasBeenOpen = false;
  const isAborted = (): boolean => signal?.aborted === true;
  for (let failures = 0; !isAborted(); failures++) {
    const connection = new AbortController();
    const unlink = abortWith(connection, signal);
    let retryAfterMs = 0;
    try {
      const chunks = await open(requester, { ...options, lastEventId: position.lastEventId, since }, connection);
      hasBeenOpen = true;
      options.onOpen?.(true);
      yield 'opened';
      for await (const { id = position.lastEventId, data, retry = retryMs } of blocksOf(chunks)) {
        [failures, retryMs, position.lastEventId] = [0, retry, id];
        const event = data === undefined ? undefined : (JSON.parse(data) as Event);
        if (event === undefined || event.type === 'closed' || !positions.advance(event)) continue;
        yield { ...event, id: id ?? '' };
      }
    } catch (error) {
      if (isAborted()) return;
      if (!hasBeenOpen || !isTransient(error)) throw error;
      if (error instanceof ProblemError) retryAfterMs = (error.retryAfter ?? 0) * 1000;
    } finally {
      unlink();
      connection.abort();
      if (hasBeenOpen) options.onOpen?.(false);
    }
    await pause(Math.max(retryAfterMs, backoffMs(failures, retryMs)), signal);
  }
}

/** Resolves when the connection is open: no later event is missed. */
async function open(
  requester: Requester,
  { types, clientId, lastEventId, since, silenceMs = SILENCE_MS }: EventsOptions & { since: string | undefined },
  connection: AbortController,
): Promise<AsyncIterable<string>> {
  const operation: StreamEventsData = {
    url: '/v1/events',
    query: {
      ...(types && { types: [...types] }),
      ...(clientId !== undefined && { client_id: clientId }),
      ...(lastEventId === undefined && since !== undefined && { since }),
    },
    headers: { ...(lastEventId !== undefined && { 'Last-Event-ID': lastEventId }) },
  };
  const abortSilent = (): void =>
    connection.abort(new UnreachableError(`the event stream sent nothing for ${silenceMs} ms`));
  let silence = setTimeout(abortSilent, silenceMs);
  connection.signal.addEventListener('abort', () => clearTimeout(silence));
  const chunks = await requester.stream(operation, connection.signal);

  async function* watched(): AsyncGenerator<string, void> {
    for await (const chunk of chunks) {
      clearTimeout(silence);
      silence = setTimeout(abortSilent, silenceMs);
      yield chunk;
    }
  }
  return watched();
}

/** @throws RangeError if the date is invalid */
function textOf(time: Date | string | undefined): string | undefined {
  if (time instanceof Date && Number.isNaN(time.getTime()))
    throw new RangeError('since must be a valid Date or an RFC 3339 timestamp, not an invalid Date');
  return time instanceof Date ? time.toISOString() : time;
}

/** Whether another try may succeed. */
function isTransient(error: unknown): boolean {
  if (error instanceof ProblemError) return error.status === 429 || error.status >= 500;
  return error instanceof UnreachableError;
}

/** Doubles with each failure. Half of it is random, so that many clients do not come back at the same moment. */
function backoffMs(failures: number, baseMs: number): number {
  const ceiling = Math.min(RETRY_CAP_MS, baseMs * 2 ** Math.min(failures, 16));
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}
