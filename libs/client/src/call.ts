/** A call: sends a message to a client, and waits for what the client answers. */
import { CallError, ProblemError, UnreachableError } from './errors.js';
import { follow } from './events.js';
import type * as Api from './generated/types.gen.js';
import { hasEnded } from './message-end.js';
import { checkMs, REPLY_MS } from './numbers.js';
import { pause } from './pause.js';
import { abortWith, type CallOptions, type Operation, type Requester } from './requester.js';

/** How far the work of a client has come. */
export type Progress = Pick<NonNullable<Api.Message['progress']>, 'percent' | 'details'>;

export interface CallOfClient {
  directive: string;
  /** Any JSON. */
  payload?: unknown;
}

export interface CallSettings extends CallOptions {
  /**
   * How long the answer may take, in milliseconds, up to 30 days; 30,000 by default. Until then the message may wait for its client as
   * well. The call ends then, or as soon as its last request ends: at most 10 s later. The service counts in whole seconds: for the message the time is rounded up, so it may end up to a second later.
   */
  timeoutMs?: number | undefined;
  /**
   * A call with the same key, client, content and `timeoutMs` sends nothing again: it waits for the answer to the first one. By default
   * each call has a key of its own.
   */
  idempotencyKey?: string | undefined;
  /**
   * Called with what the client says about its progress. Of what comes together with the answer, only the last is sure to be reported.
   * What it throws ends the call. Without the scope `events:read`, it is called with the last one only, at the end.
   */
  onProgress?: ((progress: Progress) => void) | undefined;
}

const TIMEOUT_MS = 30_000;
/** The longest that the service keeps a message, and awaits an answer. */
const LONGEST_MS = 2_592_000_000;
/** The longest wait that the service grants one request. */
const MAX_WAIT_SECONDS = 60;
/** The pause before a request is repeated because the service could not be reached. */
const PAUSE_MS = 500;
/** A request that asked for a wait and ended sooner did not wait: too many others do. */
const SHORTEST_WAIT_MS = 900;
/** The pause before it is repeated. */
const NO_WAIT_PAUSE_MS = 1000;

/**
 * Resolves with the payload of the client's answer; undefined if the answer has none.
 * @throws ProblemError if nothing was sent, CallError once the message was accepted, UnreachableError if nobody knows, RangeError for what
 * cannot be sent, the reason of the signal, or what `onProgress` has thrown
 */
export async function call(
  requester: Requester,
  clientId: string,
  { directive, payload }: CallOfClient,
  { timeoutMs = TIMEOUT_MS, idempotencyKey = crypto.randomUUID(), onProgress, ...options }: CallSettings,
): Promise<unknown> {
  checkMs('timeoutMs', timeoutMs, LONGEST_MS);
  const seconds = Math.ceil(timeoutMs / 1000);
  const until = performance.now() + timeoutMs;
  const send: Operation = {
    url: '/v1/connections/{client_id}/messages',
    path: { client_id: clientId },
    headers: { 'Idempotency-Key': idempotencyKey },
    body: {
      ...{ directive, ttl_seconds: seconds, response_timeout_seconds: seconds },
      ...(payload !== undefined && { payload }),
    },
  };
  // Who wants to know the progress needs the id of the message first.
  const accepted = await sendOnce(requester, send, until, options, onProgress === undefined);
  let last: Progress | undefined;
  const report = ({ percent, details }: Progress): void => {
    if (last?.percent === percent && last.details === details) return;
    last = { percent, details };
    onProgress?.(last);
  };
  const end = (message: Api.Message): Promise<unknown> => {
    // The event may come after the answer.
    if (message.progress) report(message.progress);
    return payloadOf(requester, message, timeoutMs, options);
  };
  if ('status_history' in accepted && hasEnded(accepted)) return end(accepted);
  const ended = new AbortController();
  const unlink = abortWith(ended, options.signal);
  const { signal } = ended;
  const reportOrEnd = (progress: Progress): void => {
    try {
      report(progress);
    } catch (error) {
      ended.abort(error);
    }
  };
  // The answer matters, and comes without the events as well.
  if (onProgress) watch(requester, clientId, accepted.message_id, reportOrEnd, signal).catch(() => undefined);
  try {
    for (;;) {
      const begun = performance.now();
      const message = await readAfterWait(requester, accepted, until, { ...options, signal });
      if (message && hasEnded(message)) return await end(message);
      const now = performance.now();
      if (message && now >= until) throw new CallError(message, noAnswerText(message, timeoutMs));
      if (now < until && now - begun < SHORTEST_WAIT_MS) await pause(Math.min(NO_WAIT_PAUSE_MS, until - now), signal);
    }
  } finally {
    unlink();
    ended.abort();
  }
}

/**
 * Sends the message. Its wait ends before the time is over: a request that is cut off would not say whether the message was accepted.
 * @throws ProblemError if nothing was sent, UnreachableError if nobody knows
 */
async function sendOnce(
  requester: Requester,
  { url, ...send }: Operation,
  until: number,
  options: CallOptions,
  waits: boolean,
): Promise<Api.Message | Api.AcceptedMessage> {
  const last = { mayBeSent: false };
  try {
    return await untilServed(until, options, async (leftMs) => {
      const wait = waits ? Math.min(MAX_WAIT_SECONDS, Math.floor(leftMs / 1000)) : 0;
      const headers = { ...send.headers, ...preferenceOf(wait) };
      const limits = { ...options, timeoutMs: wait * 1000 + REPLY_MS };
      try {
        return await requester.exchange('POST', url, { ...send, headers }, limits);
      } catch (error) {
        last.mayBeSent ||= saysNothing(error);
        throw error;
      }
    });
  } catch (error) {
    if (!last.mayBeSent || !(error instanceof ProblemError)) throw error;
    throw new UnreachableError(`nobody knows whether the message was accepted: ${error.message}`, { cause: error });
  }
}

/** The message as it is after a wait; undefined if the time was over before, and the wait was cut off. @throws CallError */
async function readAfterWait(
  requester: Requester,
  accepted: Api.Message | Api.AcceptedMessage,
  until: number,
  options: CallOptions,
): Promise<Api.Message | undefined> {
  const path = { message_id: accepted.message_id };
  const last = { isCutOff: false };
  try {
    return await untilServed(until, options, (leftMs) => {
      const wait = Math.min(MAX_WAIT_SECONDS, Math.ceil(leftMs / 1000));
      const mostMs = wait * 1000 + REPLY_MS;
      last.isCutOff = 0 < leftMs && leftMs < mostMs;
      const limits = { ...options, timeoutMs: last.isCutOff ? leftMs : mostMs };
      return requester.exchange('GET', '/v1/messages/{message_id}', { path, headers: preferenceOf(wait) }, limits);
    });
  } catch (error) {
    if (error instanceof UnreachableError && last.isCutOff) return undefined;
    throw error instanceof ProblemError || error instanceof UnreachableError ? unreadable(accepted, error) : error;
  }
}

/** Repeats a request that the service did not serve: the key makes that safe. `request` gets the time that is left. */
async function untilServed<Answer>(
  until: number,
  { signal }: CallOptions,
  request: (leftMs: number) => Promise<Answer>,
): Promise<Answer> {
  for (;;) {
    try {
      return await request(Math.max(0, until - performance.now()));
    } catch (error) {
      const pauseMs = error instanceof ProblemError ? (error.retryAfter ?? 0) * 1000 : 0;
      const leftMs = until - performance.now();
      if (!mayBeServedLater(error) || pauseMs >= leftMs) throw error;
      await pause(Math.min(leftMs, Math.max(pauseMs, PAUSE_MS / 2 + (Math.random() * PAUSE_MS) / 2)), signal);
      signal?.throwIfAborted();
    }
  }
}

function preferenceOf(wait: number): { Prefer?: string } {
  return wait > 0 ? { Prefer: `wait=${wait}` } : {};
}

/** Whether a failure leaves open whether the message was accepted. A proxy may have lost the answer of the gateway. */
function saysNothing(error: unknown): boolean {
  if (error instanceof ProblemError) return error.status >= 500 && error.kind !== 'storage-full';
  return error instanceof UnreachableError;
}

/** The message has been accepted, so this is no refusal of the call, and its id is known. */
function unreadable(accepted: Api.Message | Api.AcceptedMessage, cause: ProblemError | UnreachableError): CallError {
  const unread = {
    ...{ response_deadline: null, progress: null, answer: null },
    status_history: [{ status: accepted.status, at: accepted.created_at, details: null }],
  };
  const details = `the message was accepted, but its answer cannot be read: ${cause.message}`;
  return new CallError({ ...unread, ...accepted }, details, { cause });
}

function noAnswerText({ status }: Api.Message, timeoutMs: number): string {
  return `no answer within ${timeoutMs / 1000} s${WAITS[status] ?? ''}`;
}

const OFFLINE = ', because the client is offline';
const NOT_SENT = ', because the message could not be sent';
/** What a message still waits for, by status. A queued one may have been sent before: an attempt can lose its PUBACK. */
const WAITS: Partial<Record<Api.Message['status'], string>> = {
  held: OFFLINE,
  queued: ', because the message is still queued',
};

function mayBeServedLater(error: unknown): boolean {
  if (error instanceof ProblemError) return [429, 502, 503, 504].includes(error.status);
  return error instanceof UnreachableError;
}

/** @throws CallError */
async function payloadOf(
  requester: Requester,
  message: Api.Message,
  timeoutMs: number,
  options: CallOptions,
): Promise<unknown> {
  if (message.status === 'expired' && !message.answer) {
    // It is `held` no more, and does not say why it expired.
    const why = (await isOffline(requester, message.client_id, options)) ? OFFLINE : NOT_SENT;
    throw new CallError(message, `no answer within ${timeoutMs / 1000} s${why}`);
  }
  if (message.status !== 'answered') throw new CallError(message);
  const { answer } = message;
  if (answer?.omitted !== undefined)
    throw new CallError(message, 'the answer was not stored, because Redis is almost full');
  return answer?.payload;
}

/** A key without `connections:read` does not learn it. */
async function isOffline(requester: Requester, clientId: string, options: CallOptions): Promise<boolean> {
  const read: Operation = { url: '/v1/connections/{client_id}', path: { client_id: clientId } };
  try {
    const { state } = await requester.call<Operation, Api.Connection>('GET', read.url, read, {
      ...options,
      timeoutMs: REPLY_MS,
    });
    return state === 'offline';
  } catch (error) {
    if (error instanceof ProblemError || error instanceof UnreachableError) return false;
    throw error;
  }
}

async function watch(
  requester: Requester,
  clientId: string,
  messageId: string,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of follow(requester, { types: ['message.progress'], clientId, signal })) {
    if (event === 'opened' || event.type !== 'message.progress' || event.message_id !== messageId) continue;
    const { percent = null, details = null } = event;
    onProgress({ percent, details });
  }
}
