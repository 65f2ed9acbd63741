/** The record of a message, as readers need it. `message-record.lua` describes and writes it. */
import { STORED_STATUSES, type StatusChange, type StoredStatus } from '../message-status.js';

export interface MessageRecord {
  clientId: string;
  account: string | undefined;
  directive: string;
  status: StoredStatus;
  createdAt: number;
  expiresAt: number;
  history: StatusChange[];
}

/** status, attempts, no subscribers, created at, time to live, kept, bytes, bytes when finished, payload has a key */
const FIRST_LINE = /^1 ([a-z_]+) \d+ [01] (\d+) (\d+) \d+ \d+ \d+ [01]$/;
const CHANGE = /^([a-z])(-?\d+)(?: (.*))?$/s;
/** Lines before the payload. */
const LINES = 8;

/** @returns undefined for a text that cannot be read, and for the rest of a message that was forgotten */
export function parseMessageRecord(text: string): MessageRecord | undefined {
  const parts = partsOf(text);
  if (parts === undefined || !isStatus(parts.status)) return undefined;
  const { status, clientId, account, directive, history, createdAt, expiresAt } = parts;
  return {
    ...{ clientId, directive, status, createdAt, expiresAt },
    account: account === '' ? undefined : decoded(account),
    history: history === '' ? [] : history.split('\t').map((change) => parseChange(change, createdAt)),
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
  const lines = text.split('\n', LINES + 1);
  const [first = '', , client = '', account = '', , directive = '', request = '', history = ''] = lines;
  const [, status, created, ttl] = FIRST_LINE.exec(first) ?? [];
  if (status === undefined || lines.length <= LINES) return undefined;
  const createdAt = Number(created);
  const payload = text.slice(lines.slice(0, LINES).reduce((length, line) => length + line.length + 1, 0));
  const times = { createdAt, expiresAt: createdAt + Number(ttl) };
  return {
    ...times,
    status,
    account,
    request,
    history,
    payload,
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
