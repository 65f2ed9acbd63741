/**
 * Where a reader of the events stands: a position in the stream of each shard, as one opaque text of a few bytes a
 * shard. A position is written as its distance from the newest one, since most shards have told something lately.
 */

import { BEFORE_ALL } from '@app/registry';

const VERSION = 1;
/** 2 to the 48th: milliseconds up to the year 10889. */
const MOST_MS = 2 ** 48 - 1;

/** Turns positions, one a shard, into a cursor. */
export function encodeCursor(positions: readonly string[]): string {
  const parsed = positions.map(parse);
  let newest = 0;
  for (const [ms] of parsed) newest = Math.max(newest, ms);
  // A version, the newest time, and two numbers a shard of at most 7 bytes each.
  const bytes = Buffer.allocUnsafe(7 + parsed.length * 14);
  bytes[0] = VERSION;
  bytes.writeUIntBE(newest, 1, 6);
  let at = 7;
  for (const [ms, sequence] of parsed) {
    if (ms === 0) {
      bytes[at++] = 0;
      continue;
    }
    at = writeNumber(bytes, at, newest - ms + 1);
    at = writeNumber(bytes, at, sequence);
  }
  return bytes.toString('base64url', 0, at);
}

/** Reads a cursor; undefined where it is none, or of another number of shards. */
export function decodeCursor(text: string, shardCount: number): string[] | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < 7 || bytes[0] !== VERSION) return undefined;
  const newest = bytes.readUIntBE(1, 6);
  const reader = { bytes, at: 7 };
  const positions: string[] = [];
  for (let shard = 0; shard < shardCount; shard++) {
    const distance = readNumber(reader);
    if (distance === undefined) return undefined;
    if (distance === 0) {
      positions.push(BEFORE_ALL);
      continue;
    }
    const sequence = readNumber(reader);
    const ms = newest - distance + 1;
    if (sequence === undefined || ms <= 0) return undefined;
    positions.push(`${ms}-${sequence}`);
  }
  return reader.at === bytes.length ? positions : undefined;
}

function parse(position: string): [ms: number, sequence: number] {
  const dash = position.indexOf('-');
  return [Number(position.slice(0, dash)), Number(position.slice(dash + 1))];
}

/** Seven bits a byte, the lowest first; the high bit says that more follow. */
function writeNumber(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest > 0x7f) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

function readNumber(reader: { bytes: Buffer; at: number }): number | undefined {
  let value = 0;
  for (let scale = 1; scale <= MOST_MS; scale *= 0x80) {
    const byte = reader.bytes[reader.at++];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value <= MOST_MS ? value : undefined;
  }
  return undefined;
}
