/** What nobody sends by mistake: the strings and values that have broken other services. Arbitraries of fast-check. */
import fc from 'fast-check';

const STRINGS = [
  '',
  ' ',
  '*',
  '?',
  '#',
  '+',
  '$SYS',
  '$share/cc/x',
  '..',
  '../../etc/passwd',
  '%2e%2e%2f',
  '%00',
  '%',
  '%zz',
  '\u0000',
  'a\u0000b',
  '\r\nX-Injected: 1',
  '\u001b[2J',
  '\ud800',
  '\udfff\ud800',
  '\ufeff',
  '\u202e',
  '{s1}:connections',
  'cc:{s1}:owner',
  '{queue}',
  '{clientId}',
  '}{',
  '[[',
  '-1',
  '0',
  'null',
  'undefined',
  'NaN',
  'true',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '1e999',
  '-0',
  '9'.repeat(400),
  'x'.repeat(300),
  'é'.repeat(129),
  "' OR 1=1 --",
  '${7*7}',
  '{{7*7}}',
  '<script>alert(1)</script>',
  '\n',
  '\t',
  '1\n2',
  'EVAL "return 1" 0',
];

export const hostileString: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...STRINGS) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 300 }) },
);

const hostileNumber = fc.constantFrom(0, -0, -1, 1, 0.5, 1e308, -1e308, 2 ** 53, 2 ** 63, 1e21, 4294967296, 5e-324);

const memberName = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'prototype', 'toJSON', ''), hostileString);

const leaf = fc.oneof(hostileString, hostileNumber, fc.boolean(), fc.constant(null));

export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  leaf,
  fc.array(leaf, { maxLength: 4 }),
  fc.dictionary(memberName, leaf, { maxKeys: 4 }),
  fc.dictionary(memberName, fc.array(leaf, { maxLength: 3 }), { maxKeys: 3 }),
);

function nested(depth: number, open: string, close: string): string {
  return open.repeat(depth) + '1' + close.repeat(depth);
}

/** Texts that are hardly JSON, or JSON that parsers disagree about. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '',
    '{',
    '}',
    '[',
    '"',
    'nul',
    '\u0000',
    '\ufeff{}',
    '{}{}',
    '{"a":1}x',
    "{'a':1}",
    '{"a":1,}',
    '{"a":1e999}',
    '{"directive":"a","directive":"b"}',
    '{"__proto__":{"x":1},"directive":"a"}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"directive":"\\ud800"}',
    '{"directive":"a","payload":"\\ud800\\u0000"}',
    '{"a":0.1e+}',
    `"${'x'.repeat(5000)}"`,
    nested(50, '[', ']'),
    `{"type":"offline","version":1,"deep":${nested(50, '[', ']')}}`,
    nested(5000, '[', ']'),
    nested(5000, '{"a":', '}'),
    `[${'{},'.repeat(2000)}{}]`,
  ),
  fc.json({ maxDepth: 4 }),
  hostileValue.map((value) => JSON.stringify(value)),
  fc.string({ unit: 'binary', maxLength: 60 }),
);

/** How many to send: `FUZZ_COUNT`, or what `npm test` has time for. */
export function countOr(affordable: number): number {
  return Number(process.env['FUZZ_COUNT'] ?? affordable);
}
/** Replays what was sent. */
export const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** A stream of so many values; the seed replays it. */
export function* draw<T>(arbitrary: fc.Arbitrary<T>, count: number, seed = SEED): Generator<T> {
  // In portions: fast-check keeps what it samples.
  const portion = 2000;
  for (let from = 0; from < count; from += portion) {
    yield* fc.sample(arbitrary, { numRuns: Math.min(portion, count - from), seed: seed + from });
  }
}
