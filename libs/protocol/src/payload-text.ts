/** Decodes the payload of a packet; gives its first bytes and the reason if it is too large or not UTF-8. */
import { isUtf8 } from 'node:buffer';
import type { RefusalReason } from './parse-inbound.js';

const SAMPLE_BYTES = 1024;

export interface PayloadText {
  /** The whole text, or the first bytes if the payload was refused. */
  body: string;
  refused?: Extract<RefusalReason, 'too-large' | 'not-utf8'>;
}

export function payloadText(payload: Buffer, maxBytes: number): PayloadText {
  if (payload.length > maxBytes) return { body: payloadSample(payload), refused: 'too-large' };
  if (!isUtf8(payload)) return { body: payloadSample(payload), refused: 'not-utf8' };
  return { body: payload.toString() };
}

/** The first bytes of a payload, one character for each. */
export function payloadSample(payload: Buffer): string {
  return payload.subarray(0, SAMPLE_BYTES).toString('latin1');
}
