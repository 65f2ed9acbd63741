/** The errors that the client throws. */
import type { Message, Problem } from './generated/types.gen.js';

/** The service has refused a request, usually with an RFC 9457 problem. From `call()` it means that nothing was sent. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(
    readonly problem: Problem,
    /** Seconds after which a repeat may succeed; undefined if the service does not say. */
    readonly retryAfter: number | undefined,
  ) {
    const remedy = remedyOf(problem, retryAfter);
    super(`${problem.title}: ${problem.detail}${remedy === undefined ? '' : `. ${remedy}`}`);
    this.remedy = remedy;
  }

  /** What to do about it; undefined if the detail says so, or nobody knows. */
  readonly remedy: string | undefined;

  /** Such as `urn:cloud-connector:problem:unknown-connection`; `about:blank` if the response is not a problem document. */
  get type(): string {
    return this.problem.type;
  }

  /** Last part of the type, such as `unknown-connection`. */
  get kind(): string {
    return kindOf(this.problem);
  }

  /** The HTTP status. */
  get status(): number {
    return this.problem.status;
  }

  get detail(): string {
    return this.problem.detail;
  }

  /** What is wrong: members of the body, each with a JSON `pointer`, and parameters, by `in` and `name`. */
  get errors(): NonNullable<Problem['errors']> {
    return this.problem.errors ?? [];
  }

  /** The id of the request in the logs of the service. */
  get requestId(): string {
    return this.problem.request_id;
  }
}

function kindOf({ type }: Problem): string {
  return type.slice(type.lastIndexOf(':') + 1);
}

function remedyOf(problem: Problem, retryAfter: number | undefined): string | undefined {
  const { status, detail } = problem;
  if (retryAfter !== undefined) return `Try again in ${retryAfter} s.`;
  if (status === 401) return 'Set the token of the client to an API key or a token that the gateway knows.';
  if (status === 403 && detail.includes('scope')) return 'Use a key that has this scope.';
  const kind = kindOf(problem);
  // A sweep that is not kept has another detail.
  if (kind === 'not-found' && detail.includes('served')) return 'Is the gateway older than this client?';
  return REMEDIES.get(kind);
}

const REMEDIES: ReadonlyMap<string, string> = new Map([
  ['unknown-connection', 'Is the id right? connections() lists the clients that are known.'],
]);

/** What an ended message says without details of its history. */
const DETAILS: ReadonlyMap<Message['status'], string> = new Map([
  ['unanswered', 'the client did not answer in time'],
  ['cancelled', 'the message was cancelled'],
  ['sent', 'the message was sent, and the service awaits no answer'],
]);

/**
 * The client has not done what a call asked, has not answered in time, or its answer cannot be read. The message was accepted, so the
 * client may have done it nevertheless, unless `status` says otherwise.
 */
export class CallError extends Error {
  override readonly name = 'CallError';

  constructor(
    /** The message of the call, as it was then. `readMessage()` of its `message_id` shows an answer that comes later. */
    readonly callMessage: Message,
    details = detailsOf(callMessage),
    options?: ErrorOptions,
  ) {
    const { client_id: clientId, message_id: id, status } = callMessage;
    const outcome = status === 'expired' ? 'expired' : 'failed';
    super(`the call of ${clientId} ${outcome}${details === '' ? '' : `: ${details}`} (message ${id})`, options);
    this.details = details;
  }

  /**
   * Why there is no answer: what the client says about a failure, that it is offline or did not answer in time, or why its answer cannot
   * be read; `cause` is the ProblemError or the UnreachableError then.
   */
  readonly details: string;

  /** `failed`: the client cannot do it; `unanswered`, `expired`: too late; `cancelled`. Otherwise the time of the call ran out, or its answer cannot be read. */
  get status(): Message['status'] {
    return this.callMessage.status;
  }
}

/** A late answer may be the error of a client as well: the service does not say which, so it is not the result of a call. */
function detailsOf({ status, status_history: history, answer }: Message): string {
  const details = history.at(-1)?.details ?? DETAILS.get(status) ?? '';
  return answer?.late === true ? `${details}; it has answered late, which \`answer\` of the message shows` : details;
}

/** There was no usable response, so it is unknown whether the service has executed the call. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/**
 * The error for a response that is not `ok`; it may come from a proxy, without a problem document.
 * @param base the address of the gateway
 */
export function problemOf({ status, statusText, headers, url }: Response, text: string, base: string): ProblemError {
  const retryAfter = retryAfterOf(headers.get('retry-after'));
  if (/^application\/problem\+json/.test(headers.get('content-type') ?? '')) {
    return new ProblemError(JSON.parse(text) as Problem, retryAfter);
  }
  // A proxy in front of a gateway does not say 404 in place of it.
  const who = status === 404 ? `${base} is not a gateway of Cloud Connector: it` : base;
  // That is what servers say to plain HTTP on their port for TLS.
  const remedy = status === 400 && base.startsWith('http:') ? '; is it https, not http?' : '';
  const detail = `${who} answered ${status} without a problem document${remedy}`;
  const problem = {
    ...{ type: 'about:blank', title: statusText === '' ? `HTTP ${status}` : statusText, status },
    ...{ detail, instance: new URL(url).pathname },
    request_id: headers.get('x-request-id') ?? '',
  };
  return new ProblemError(problem, retryAfter);
}

/** Seconds; the header holds them, or a date. */
function retryAfterOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}
