import { createHash } from 'node:crypto';
import { MAX_SHARD_COUNT, shardOf } from './shard-hash.js';

/**
 * Golden vectors, computed with Python's `zlib.crc32(id.encode('utf-8'))`. They never change: a hash that differs in one
 * of them would look for the keys of a client on the wrong shard.
 */
const GOLDEN: [id: string, crc: number][] = [
  ['123456789', 0xcbf43926],
  ['a', 0xe8b7be43],
  ['A', 0xd3d99e8b],
  ['client-0', 0x878bd2f0],
  ['client-1', 0xf08ce266],
  ['client-2', 0x6985b3dc],
  ['3fb0c7be-89cb-4f19-84b7-94448f40f769', 0x690cff92],
  ['00000000-0000-0000-0000-000000000000', 0x8151da89],
  ['ffffffff-ffff-ffff-ffff-ffffffffffff', 0x5289e08f],
  ['host.example.com', 0x7061a8dc],
  ['host with spaces', 0xb3d339cd],
  ['$SYS', 0xf9f591cf],
  ['{clientId}', 0xdbaf62d9],
  ['\u00e9', 0x0e048d3e],
  ['e\u0301', 0x4cadfb2d],
  ['\u65e5\u672c\u8a9e', 0xa80b52e5],
  ['\u{1f680}', 0x377bd7c6],
  ['\u00fc\u00df-\u00d1', 0x114d1873],
  ['\u0645\u0631\u062d\u0628\u0627', 0x7cb481df],
  ['\ufeffbom', 0xeee31afe],
  ['a'.repeat(256), 0xb07d3659],
  ['\u00e9'.repeat(128), 0xbd4ab361],
  ['\u{1f680}'.repeat(64), 0xe65dfcbb],
];

/** As many shards as a CRC-32 has values: the remainder is the CRC itself. */
const WHOLE_CRC = 2 ** 32;

describe('shardOf', () => {
  it('gives the check value of CRC-32 (ISO-HDLC) for "123456789"', () => {
    expect(shardOf('123456789', WHOLE_CRC).toString(16)).toBe('cbf43926');
  });

  it.each(GOLDEN)('hashes %j as it always has', (id, crc) => {
    expect(shardOf(id, WHOLE_CRC)).toBe(crc);
    for (const count of [1, 2, 31, 32, 1000, MAX_SHARD_COUNT]) expect(shardOf(id, count)).toBe(crc % count);
  });

  it('keeps the shard numbers that a default installation has stored', () => {
    const ids = ['123456789', 'client-0', 'client-1', '3fb0c7be-89cb-4f19-84b7-94448f40f769', '\u65e5\u672c\u8a9e'];
    expect(ids.map((id) => shardOf(id, 32))).toEqual([6, 16, 6, 18, 5]);
  });

  it('spreads sequential ids over 32 shards within 10 % of even', () => {
    const load = loadOf(Array.from({ length: 32_000 }, (_, i) => `client-${i}`));
    expect(Math.min(...load)).toBeGreaterThan(900);
    expect(Math.max(...load)).toBeLessThan(1100);
  });

  it('spreads UUIDs over 32 shards within 20 % of even', () => {
    // Fixed ids that look random: the test would rarely fail with truly random ones.
    const load = loadOf(Array.from({ length: 16_000 }, (_, i) => uuidOf(i)));
    expect(Math.min(...load)).toBeGreaterThan(400);
    expect(Math.max(...load)).toBeLessThan(600);
  });
});

function loadOf(ids: string[]): number[] {
  const load = Array<number>(32).fill(0);
  for (const id of ids) {
    const shard = shardOf(id, 32);
    load[shard] = (load[shard] ?? 0) + 1;
  }
  return load;
}

/** The i-th of a fixed sequence of version 4 UUIDs. */
function uuidOf(i: number): string {
  const hex = createHash('sha256').update(String(i)).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
