/** Makes HTTP calls: address, credentials, time limit, and a typed error for each failure. */
import { UnreachableError, problemOf } from './errors.js';
import { checkMs, checkRanges, jsonOf, limitOf, type Ranges } from './numbers.js';

export interface ConnectorOptions {
  /** The address of the gateway, such as `https://connector.example.com`, without `/v1`; another path in it is kept. */
  baseUrl: string | URL;
  /** An API key or a token, or a function that gets one before each call. */
  token?: string | (() => string | Promise<string>) | undefined;
  /** The time limit of a call in milliseconds, up to 24 days; by default 30,000, or its wait and 10,000 if that is more. */
  timeoutMs?: number | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** Aborts the call, which then rejects with the reason of the signal. */
  signal?: AbortSignal | undefined;
  /** The `X-Request-Id` with which the service logs the call. */
  requestId?: string | undefined;
  /** The time limit of this call in milliseconds; by default that of the connector. */
  timeoutMs?: number | undefined;
  /** Called with the headers of the response once it has been read, unless it is an error: such as `Idempotency-Replayed`, or `Preference-Applied`. */
  onHeaders?: ((headers: Headers) => void) | undefined;
}

export type Method = 'GET' | 'POST' | 'DELETE';

/** An operation as the generated types describe it. */
export interface Operation {
  url: string;
  path?: Record<string, string> | undefined;
  query?: Record<string, string | number | readonly string[] | undefined> | undefined;
  headers?: Record<string, string | undefined> | undefined;
  body?: unknown;
  /** Of the query and of the body. */
  ranges?: Ranges | undefined;
}

export class Requester {
  private readonly base: string;

  /** @throws TypeError if the address is not one of a gateway, RangeError for a time limit that is none */
  constructor(private readonly options: ConnectorOptions) {
    checkMs('timeoutMs', options.timeoutMs);
    this.base = addressOf(options.baseUrl);
  }

  /**
   * Calls an operation and reads its answer.
   * @throws ProblemError, UnreachableError, RangeError for an id, a token or a number that cannot be sent, the reason of the signal
   */
  async call<Data extends Operation, Answer>(
    method: Method,
    url: Data['url'],
    parts: Omit<Data, 'url'>,
    { timeoutMs = this.options.timeoutMs, ...options }: CallOptions = {},
  ): Promise<Answer> {
    checkMs('timeoutMs', timeoutMs);
    const limit = limitOf(parts.headers?.['Prefer'], timeoutMs);
    return this.exchange(method, url, parts, { ...options, timeoutMs: limit });
  }

  /** As `call`; the time limit may end a wait. */
  async exchange<Answer>(
    method: Method,
    url: string,
    parts: Omit<Operation, 'url'>,
    { signal, requestId, timeoutMs, onHeaders }: CallOptions & { timeoutMs: number },
  ): Promise<Answer> {
    const request = await this.prepare(method, { ...parts, url }, requestId);
    const limit = withTimeLimit(timeoutMs, signal);
    let text: string;
    try {
      const response = await this.send(request, limit.signal, signal);
      text = await this.withTypedError(response.text(), signal);
      onHeaders?.(response.headers);
    } finally {
      limit.end();
    }
    try {
      return (text === '' ? undefined : JSON.parse(text)) as Answer;
    } catch (cause) {
      throw new UnreachableError(`${this.base} answered, but not with JSON: is it the address of a gateway?`, {
        cause,
      });
    }
  }

  /** Opens an event stream and yields its text until the signal is aborted. @throws as `call` */
  async stream(operation: Operation, signal: AbortSignal): Promise<AsyncGenerator<string, void>> {
    const response = await this.send(await this.prepare('GET', operation), signal, signal);
    if (!response.headers.get('content-type')?.startsWith('text/event-stream'))
      throw new UnreachableError(`${this.base} answered without an event stream: is it the address of a gateway?`);
    return this.textOf(response, signal);
  }

  private async *textOf({ body }: Response, signal: AbortSignal): AsyncGenerator<string, void> {
    if (body === null) return;
    const decoder = new TextDecoder();
    const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
    for (;;) {
      const { done, value } = await this.withTypedError(reader.read(), signal);
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  }

  private async prepare(method: Method, operation: Operation, requestId?: string): Promise<Prepared> {
    const { query = {}, body, headers: ofOperation, ranges = {} } = operation;
    for (const members of [query, body ?? {}]) checkRanges(members as Record<string, unknown>, ranges);
    const { token } = this.options;
    const credentials = typeof token === 'function' ? await token() : token;
    if (credentials === '') {
      throw new RangeError('the token is empty: set it, or leave it out if the gateway requires no credentials');
    }
    // `fetch` would refuse it as well, and its message would contain the token.
    if (credentials !== undefined && !/^[\x21-\x7e]+$/.test(credentials)) {
      throw new RangeError('a token must be printable ASCII without spaces');
    }
    const named = {
      ...ofOperation,
      'content-type': body === undefined ? undefined : 'application/json',
      authorization: credentials === undefined ? undefined : `Bearer ${credentials}`,
      'x-request-id': requestId,
    };
    const headers = Object.entries(named).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const more = body === undefined ? {} : { body: jsonOf(body) };
    return { url: this.base + pathOf(operation), init: { method, headers, ...more } };
  }

  /** `limit`: ends the request; it includes `signal`, the signal of the caller. */
  private async send({ url, init }: Prepared, limit: AbortSignal, signal?: AbortSignal): Promise<Response> {
    const { fetch: send = fetch } = this.options;
    const response = await this.withTypedError(send(url, { ...init, signal: limit }), signal);
    if (!response.ok) throw problemOf(response, await this.withTypedError(response.text(), signal), this.base);
    return response;
  }

  /** Turns a failure of `fetch` into the reason of the signal or an UnreachableError. */
  private async withTypedError<Result>(exchange: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    try {
      return await exchange;
    } catch (cause) {
      signal?.throwIfAborted();
      throw new UnreachableError(`${this.base} cannot be reached: ${withRemedy(reasonOf(cause), this.base)}`, {
        cause,
      });
    }
  }
}

/**
 * A signal that is aborted after a time, or with the signal of the caller. `end` removes the listener from the signal of the
 * caller, which may live as long as the process; `AbortSignal.any` would leave a reference there.
 */
function withTimeLimit(ms: number, signal: AbortSignal | undefined): { signal: AbortSignal; end: () => void } {
  const own = new AbortController();
  const unlink = abortWith(own, signal);
  const expire = (): void => own.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError'));
  const timer = setTimeout(expire, ms);
  const end = (): void => {
    clearTimeout(timer);
    unlink();
  };
  return { signal: own.signal, end };
}

/** Aborts `own` when the signal is aborted. @returns a function that ends this */
export function abortWith(own: AbortController, signal: AbortSignal | undefined): () => void {
  const abort = (): void => own.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  return () => signal?.removeEventListener('abort', abort);
}

interface Prepared {
  url: string;
  init: { method: Method; headers: [string, string][]; body?: string };
}

/** @throws RangeError for an id that would lead to another path */
function pathOf({ url, path = {}, query = {} }: Operation): string {
  const filled = url.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = path[name] ?? '';
    if (['', '.', '..'].includes(value)) throw new RangeError('an id must not be empty, "." or ".."');
    return encodeURIComponent(value);
  });
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size === 0 ? filled : `${filled}?${search.toString()}`;
}

/** Without slashes at its end. @throws TypeError. `localhost:3000` is a URL as well, with the protocol `localhost:`. */
export function addressOf(baseUrl: string | URL): string {
  const text = String(baseUrl);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new TypeError(`"${text}" is not the address of a gateway, such as https://connector.example.com`);
  }
  const address = url.href.replace(/\/+$/, '');
  if (address.endsWith('/v1')) throw new TypeError(`"${text}" must not end in /v1, which the client adds`);
  return address;
}

const NO_TLS = 'the server there does not speak TLS';
/** What undici and Node say if a server ends a connection without a response, as one for TLS does when it gets plain HTTP. */
const CLOSED = /^(other side closed|socket hang up|read ECONNRESET)$/;

function withRemedy(reason: string, base: string): string {
  if (reason === NO_TLS) return `${reason}: is it http, not https?`;
  const orTls = CLOSED.test(reason) && base.startsWith('http:') ? ', or is it https, not http' : '';
  return `${reason}; is the gateway running there${orTls}?`;
}

/**
 * The cause of an error of `fetch`, in one line; after several addresses have failed, it has a code and no message. The message
 * of OpenSSL names its source code; its `reason` is that part which says something.
 */
function reasonOf(error: unknown): string {
  const { message, code, reason, library, cause } = error as Partial<Record<string, unknown>>;
  if (typeof cause === 'object' && cause !== null) return reasonOf(cause);
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return NO_TLS;
  const texts = [library === undefined ? undefined : reason, message, code];
  const found = texts.find((text): text is string => typeof text === 'string' && text.trim() !== '');
  return (found ?? String(error)).trim().replace(/\s+/g, ' ');
}
