/**
 * Reads one inbound payload. Total: whatever the bytes, the outcome is an envelope or a refusal with its reason;
 * nothing is thrown, so no payload can stop the clients behind it (protocol, *Anything else*).
 */
import type { z } from 'zod';
import { INBOUND_SCHEMAS, PROTOCOL_VERSION, type Inbound } from './inbound.js';

/** Why a message could not be accepted. Bounded: these are metric labels. */
export type RefusalReason =
  | 'empty'
  | 'too-large'
  | 'not-utf8'
  | 'not-json'
  | 'too-deep'
  | 'wrong-shape'
  | 'unknown-type'
  | 'unsupported-version'
  | 'not-retained'
  | 'wrong-topic'
  | 'refused-until'
  | 'reserved-id'
  | 'flood'
  | 'internal-error';

export interface Refusal {
  reason: RefusalReason;
  /** For the client's developer: what was wrong and what would be right. */
  details: string;
  /** The offending `message_id`, or null if none could be read. */
  messageId: string | null;
  /** True if the message claims to be a handshake: the reply is then a `handshake-error`. */
  handshake: boolean;
}

export type ParseOutcome = { ok: true; message: Inbound } | { ok: false; refusal: Refusal };

/** Facts nested deeper than this are refused: they are stored, and later walked by code that recurses. */
export const MAX_DEPTH = 32;

/** Parses and checks the text of one inbound message. */
export function parseInbound(text: string): ParseOutcome {
  if (text === '')
    return refuse('empty', 'the message is empty; only a retained message may be, to remove a handshake');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('not-json', 'the message is not JSON; a JSON object is expected');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse('wrong-shape', 'the message must be a JSON object');
  }
  const { type, version, message_id: id } = value as Record<string, unknown>;
  const messageId = typeof id === 'string' && id.length >= 1 && id.length <= 128 ? id : null;
  const handshake = type === 'host-handshake' || type === 'proxy-handshake';

  if (typeof type !== 'string' || !Object.hasOwn(INBOUND_SCHEMAS, type)) {
    const known = Object.keys(INBOUND_SCHEMAS).join(', ');
    return refuse('unknown-type', `type must be one of ${known}`, messageId, handshake);
  }
  if (version !== PROTOCOL_VERSION) {
    return refuse('unsupported-version', `version must be ${PROTOCOL_VERSION}`, messageId, handshake);
  }
  if (deeperThan(value, MAX_DEPTH)) {
    return refuse('too-deep', `the message nests deeper than ${MAX_DEPTH} levels`, messageId, handshake);
  }
  const checked = INBOUND_SCHEMAS[type as Inbound['type']].safeParse(value);
  if (!checked.success) return refuse('wrong-shape', describeIssues(checked.error.issues), messageId, handshake);
  // The value as it came, not the schema's copy: facts we do not know are stored unchanged.
  return { ok: true, message: value as Inbound };
}

function refuse(
  reason: RefusalReason,
  details: string,
  messageId: string | null = null,
  handshake = false,
): { ok: false; refusal: Refusal } {
  return { ok: false, refusal: { reason, details, messageId, handshake } };
}

/** One line for people out of a schema's issues: the first three, each with the path of its member. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  const lines = issues.slice(0, 3).map((issue) => {
    const path = issue.path.map(String).join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  if (issues.length > 3) lines.push(`and ${issues.length - 3} more`);
  return lines.join('; ');
}

function deeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const member of Object.values(value)) if (deeperThan(member, levels - 1)) return true;
  return false;
}
