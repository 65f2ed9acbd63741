/**
 * The cursor of an event stream, an opaque text of 10 characters: a time of Redis' clock up to which the reader has the events
 * of every shard. Release 0.1.0 wrote a position for each shard; such a cursor is read as the oldest of them.
 */

const VERSION = 2;
const VERSION_OF_0_1_0 = 1;

/** Turns a time in epoch milliseconds into a cursor. */
export function encodeCursor(ms: number): string {
  const bytes = Buffer.allocUnsafe(7);
  bytes[0] = VERSION;
  bytes.writeUIntBE(ms, 1, 6);
  return bytes.toString('base64url');
}

/** Reads a cursor, also one of 0.1.0: epoch milliseconds, or undefined if it is none. */
export function decodeCursor(text: string): number | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  if (bytes[0] === VERSION && bytes.length === 7) return bytes.readUIntBE(1, 6);
  if (bytes[0] === VERSION_OF_0_1_0 && bytes.length > 7) return oldestOf010(bytes);
  return undefined;
}

/**
 * A version, the newest time, then two numbers a shard: how much older its position is, plus one, and the number within
 * that millisecond. A single 0 means a shard without events: every event there is newer than the cursor.
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

/** Seven bits a byte, the lowest first; the high bit says that more follow. */
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
