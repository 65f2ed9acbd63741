/**
 * Parses one inbound message. Every text gives a message or a refusal with its reason. It never throws, so that no
 * message can block the ones behind it (protocol, *Anything else*).
 */
import type { z } from 'zod';
import { INBOUND_SCHEMAS, PROTOCOL_VERSION, type Inbound } from './inbound.js';
import { issueTexts } from './issue-texts.js';
import { answerTo, isMessageId, messageHead } from './message-head.js';

const TEXTS = { error: issueTexts(false) };

/** Why a message was refused. The reasons are metric labels, so their number is fixed. */
export const REFUSAL_REASONS = [
  'empty',
  'too-large',
  'not-utf8',
  'not-json',
  'too-deep',
  'wrong-shape',
  'unknown-type',
  'unsupported-version',
  'not-retained',
  'wrong-topic',
  'refused-until',
  'reserved-id',
  'not-connected',
  'account-unknown',
  'flood',
  'internal-error',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

export interface Refusal {
  reason: RefusalReason;
  /** Tells the client's developer what is wrong and what is expected. */
  details: string;
  /** `message_id` of the refused message, or null if it could not be read. */
  messageId: string | null;
  /** Whether its type is a handshake: then the reply is a `handshake-error`. */
  handshake: boolean;
  /** When another handshake may be accepted: an ISO 8601 duration, or `never` for this client. Undefined if that is not known. */
  retryAfter?: string;
  /** If it claims to be an answer: the message that it answers. */
  answerTo?: string;
}

export type ParseOutcome = { ok: true; message: Inbound } | { ok: false; refusal: Refusal };

/** Messages that nest deeper are refused: facts are stored, and recursive code reads them later. */
export const MAX_DEPTH = 32;

/** Parses and checks the text of one inbound message. */
export function parseInbound(text: string): ParseOutcome {
  if (text === '')
    return refuse('empty', 'the message is empty; only a retained message may be, to remove a handshake');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const about = { messageId: null, handshake: false, ...answerTo(messageHead(text)) };
    return refuse('not-json', 'the message is not JSON; a JSON object is expected', about);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse('wrong-shape', 'the message must be a JSON object');
  }
  const { type, version, message_id: id } = value as Record<string, unknown>;
  const messageId = isMessageId(id) ? id : null;
  const handshake = type === 'host-handshake' || type === 'proxy-handshake';
  const about = { messageId, handshake, ...answerTo(value) };

  if (typeof type !== 'string' || !Object.hasOwn(INBOUND_SCHEMAS, type)) {
    const known = Object.keys(INBOUND_SCHEMAS).join(', ');
    return refuse('unknown-type', `type must be one of ${known}`, about);
  }
  if (version !== PROTOCOL_VERSION) {
    return refuse('unsupported-version', `version must be ${PROTOCOL_VERSION}`, about);
  }
  if (isDeeperThan(value, MAX_DEPTH)) {
    return refuse('too-deep', `the message nests deeper than ${MAX_DEPTH} levels`, about);
  }
  const parsed = INBOUND_SCHEMAS[type as Inbound['type']].safeParse(value, TEXTS);
  if (!parsed.success) return refuse('wrong-shape', describeIssues(parsed.error.issues), about);
  // Not the schema's copy: unknown facts are stored unchanged.
  return { ok: true, message: value as Inbound };
}

function refuse(
  reason: RefusalReason,
  details: string,
  about: Pick<Refusal, 'messageId' | 'handshake' | 'answerTo'> = { messageId: null, handshake: false },
): { ok: false; refusal: Refusal } {
  return { ok: false, refusal: { reason, details, ...about } };
}

/** Describes the first three issues in one line, each with the path of its member. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  const lines = issues.slice(0, 3).map((issue) => {
    const path = issue.path.map(String).join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  if (issues.length > 3) lines.push(`and ${issues.length - 3} more`);
  return lines.join('; ');
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const member of Object.values(value)) if (isDeeperThan(member, levels - 1)) return true;
  return false;
}
