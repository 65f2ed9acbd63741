/**
 * The cursor of an event stream, an opaque text of 10 characters. It holds a time of the clock of Redis: the reader has the
 * events of every shard up to then. A cursor of release 0.1.0 held a position for each shard; the oldest of them is used.
 */

import { z } from 'zod';

/** The header `Last-Event-ID` in the OpenAPI document. No HTTP header can be longer. */
export const EventCursor = z.string().meta({
  id: 'EventCursor',
  description: 'The `id` of an event.',
  ...{ pattern: '^[A-Za-z0-9_-]+$', maxLength: 16_384, example: 'AgGhuCxfoA' },
});

const VERSION = 2;
const VERSION_OF_0_1_0 = 1;

/** Turns a time in epoch milliseconds into a cursor. */
export function encodeCursor(ms: number): string {
  const bytes = Buffer.allocUnsafe(7);
  bytes[0] = VERSION;
  bytes.writeUIntBE(ms, 1, 6);
  return bytes.toString('base64url');
}

/** The time of a cursor, in epoch milliseconds; undefined if the text is no cursor. */
export function decodeCursor(text: string): number | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  if (bytes[0] === VERSION && bytes.length === 7) return bytes.readUIntBE(1, 6);
  if (bytes[0] === VERSION_OF_0_1_0 && bytes.length > 7) return oldestOf010(bytes);
  return undefined;
}

/**
 * The format of 0.1.0: a version, the newest time, and two numbers for each shard: how much older its position is, plus one, and
 * the number within that millisecond. A single 0 stands for a shard without events: all its events are newer than the cursor.
 */
function oldestOf010(bytes: Buffer): number | undefined {
  const newest = bytes.readUIntBE(1, 6);
  const reader = { bytes, at: 7 };
  let oldest = newest;
  while (reader.at < bytes.length) {
    const distance = readNumber(reader);
    if (distance === undefined) return undefined;
    if (distance === 0) continue;
    if (readNumber(reader) === undefined) return undefined;
    oldest = Math.min(oldest, newest - distance + 1);
  }
  return oldest < 0 ? undefined : oldest;
}

/** Seven bits per byte, the lowest first; the high bit is set if more bytes follow. */
function readNumber(reader: { bytes: Buffer; at: number }): number | undefined {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 48; scale *= 0x80) {
    const byte = reader.bytes[reader.at++];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
  return undefined;
}
