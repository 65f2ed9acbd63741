/** The record of a message, as readers need it. `message-record.lua` describes and writes it. */
import { STORED_STATUSES, type StatusChange, type StoredStatus } from '../message-status.js';

/** What a client has done for a message so far, as it reported last. The ingester writes it as JSON. */
export interface MessageProgress {
  percent?: number;
  details?: string;
  /** Epoch milliseconds. */
  at: number;
}

/** What is stored of an answer beside its payload and its id; the ingester writes it as JSON. */
export interface AnswerFields {
  /** Epoch milliseconds. */
  received_at: number;
  /** Bytes of the payload's JSON text; 0 if it has none. */
  size: number;
  /** Why the payload is not stored. */
  omitted?: 'storage-full';
}

/** The answer of a client to a message: a `message-response`, or a `message-error`. */
export interface MessageAnswer {
  /** The id of the answer itself. */
  messageId: string;
  receivedAt: number;
  size: number;
  omitted: AnswerFields['omitted'];
  /** It came after the message had expired, was cancelled, or its response deadline had passed. */
  late: boolean;
}

export interface MessageRecord {
  clientId: string;
  account: string | undefined;
  directive: string;
  status: StoredStatus;
  createdAt: number;
  expiresAt: number;
  history: StatusChange[];
  /** Epoch milliseconds; undefined for a message that awaits no answer, or was not sent yet. */
  responseDeadline: number | undefined;
  progress: MessageProgress | undefined;
  answer: MessageAnswer | undefined;
  /** The payload of the answer, as JSON text; undefined if it has none, or one that has a key of its own. */
  answerPayloadJson: string | undefined;
  /** Whether the payload of the answer has a key of its own. */
  hasAnswerKey: boolean;
}

/** form, status, attempts, no subscribers, created at, time to live, kept, bytes, bytes when finished, payload has a key */
const FIRST_LINE = /^([12]) ([a-z_]+) \d+ [01] (\d+) (\d+) \d+ \d+ \d+ ([01])$/;
/** response timeout, response deadline, waiting gateways, progress, id of the answer, answer */
const ANSWER_LINE = /^\d+\t\d+(\t[^\t]*){4}$/;
const CHANGE = /^([a-z])(-?\d+)(?: (.*))?$/s;
/** Lines before the payload; a record of form 2 has one more. */
const LINES = 8;
/** After these statuses an answer is late. Of a client's `message-error` that made the message `failed` no answer is kept. */
const LATE_AFTER: ReadonlySet<StoredStatus> = new Set(['failed', 'unanswered', 'expired', 'cancelled']);

/** Whether a record that is a text has this status; cheaper than to parse it. */
export function hasStatus(text: string, status: StoredStatus): boolean {
  return text.startsWith(` ${status} `, 1);
}

/** @returns undefined for a text that cannot be read, and for the rest of a message that was forgotten */
export function parseMessageRecord(text: string): MessageRecord | undefined {
  const parts = partsOf(text);
  if (parts === undefined || !isStatus(parts.status)) return undefined;
  const { status, clientId, account, directive, history, createdAt, expiresAt } = parts;
  return {
    ...{ clientId, directive, status, createdAt, expiresAt },
    account: account === '' ? undefined : decoded(account),
    history: history === '' ? [] : history.split('\t').map((change) => parseChange(change, createdAt)),
    ...(parts.answerLine === undefined ? NO_ANSWER : parseAnswerLine(parts.answerLine, { ...parts, status })),
  };
}

type AnswerMembers = Pick<
  MessageRecord,
  'responseDeadline' | 'progress' | 'answer' | 'answerPayloadJson' | 'hasAnswerKey'
>;

const NO_ANSWER: AnswerMembers = {
  responseDeadline: undefined,
  progress: undefined,
  answer: undefined,
  answerPayloadJson: undefined,
  hasAnswerKey: false,
};

function parseAnswerLine(
  line: string,
  { status, payload, hasPayloadKey }: { status: StoredStatus; payload: string; hasPayloadKey: boolean },
): AnswerMembers {
  const [, deadline = '0', , progress = '', messageId = '', answer = ''] = line.split('\t').map(decoded);
  const before = {
    ...NO_ANSWER,
    responseDeadline: deadline === '0' ? undefined : Number(deadline),
    progress: progress === '' ? undefined : (JSON.parse(progress) as MessageProgress),
  };
  // Until there is an answer, the payload is that of the message.
  if (answer === '') return before;
  const { received_at: receivedAt, size, omitted } = JSON.parse(answer) as AnswerFields;
  return {
    ...before,
    answer: { messageId, receivedAt, size, omitted, late: LATE_AFTER.has(status) },
    answerPayloadJson: payload === '' ? undefined : payload,
    hasAnswerKey: hasPayloadKey,
  };
}

/** What a publish needs of a record. */
export interface ClaimedRecord {
  clientId: string;
  directive: string;
  /** undefined if the message has none, or if it has a key of its own */
  payloadJson: string | undefined;
  createdAt: number;
  expiresAt: number;
  requestId: string;
}

export function parseClaimedRecord(text: string): ClaimedRecord | undefined {
  const parts = partsOf(text);
  if (parts === undefined) return undefined;
  const { clientId, directive, request, payload, createdAt, expiresAt } = parts;
  const payloadJson = payload === '' ? undefined : payload;
  return { clientId, directive, payloadJson, createdAt, expiresAt, requestId: decoded(request) };
}

/** What both read; members that only one of them needs are as they are written. */
function partsOf(text: string) {
  const lines = text.split('\n', LINES + 2);
  const [first = '', , client = '', account = '', , directive = '', request = '', history = '', next] = lines;
  const [, form, status, created, ttl, hasPayloadKey] = FIRST_LINE.exec(first) ?? [];
  const count = form === '2' ? LINES + 1 : LINES;
  if (status === undefined || lines.length <= count) return undefined;
  if (form === '2' && !ANSWER_LINE.test(next ?? '')) return undefined;
  const createdAt = Number(created);
  const payload = text.slice(lines.slice(0, count).reduce((length, line) => length + line.length + 1, 0));
  const times = { createdAt, expiresAt: createdAt + Number(ttl) };
  return {
    ...times,
    status,
    account,
    request,
    history,
    payload,
    hasPayloadKey: hasPayloadKey === '1',
    answerLine: form === '2' ? next : undefined,
    clientId: decoded(client),
    directive: decoded(directive),
  };
}

/** A message of 0.1.0, which was a hash; a line of its history is `<status> <at>[ <details>]`. */
export const FORMER_FIELDS = [
  'client_id',
  'account',
  'directive',
  'status',
  'created_at',
  'expires_at',
  'history',
] as const;

export function parseFormerMessage(values: readonly (string | null)[]): MessageRecord | undefined {
  const [clientId, account, directive, status, created, expires, history] = values;
  if (clientId == null || !isStatus(status)) return undefined;
  return {
    clientId,
    account: account ?? undefined,
    directive: directive ?? '',
    status,
    createdAt: Number(created),
    expiresAt: Number(expires),
    history: (history ?? '').split('\n').map((line) => {
      const [to = '', at = '', ...details] = line.split(' ');
      return { status: to as StoredStatus, at: Number(at), ...(details.length > 0 && { details: details.join(' ') }) };
    }),
    ...NO_ANSWER,
  };
}

function parseChange(change: string, createdAt: number): StatusChange {
  const [, letter = '', after = '0', details] = CHANGE.exec(change) ?? [];
  const status = STORED_STATUSES.find((one) => one.startsWith(letter)) ?? 'queued';
  return { status, at: createdAt + Number(after), ...(details !== undefined && { details }) };
}

function isStatus(word: string | null | undefined): word is StoredStatus {
  return STORED_STATUSES.some((status) => status === word);
}

function decoded(text: string): string {
  // Only single bytes are encoded, and these are characters of ASCII.
  return text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
