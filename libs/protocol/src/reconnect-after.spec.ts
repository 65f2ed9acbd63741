import fc from 'fast-check';
import { character } from '../../../test/support/unicode.js';
import { RECONNECT_AFTER_PATTERN, parseReconnectAfter } from './reconnect-after.js';

const NOW = Date.parse('2024-05-06T07:08:09.123Z');
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TEN_YEARS = 10 * 365 * DAY;

describe('parseReconnectAfter', () => {
  it('reads "never" as never', () => {
    expect(parseReconnectAfter('never', NOW)).toBe('never');
  });

  it.each([
    ['PT0S', 0],
    ['PT30S', 30 * SECOND],
    ['PT0.5S', 500],
    ['PT1.234S', 1234],
    ['PT90M', 90 * MINUTE],
    ['PT36H', 36 * HOUR],
    ['P1D', DAY],
    ['P2W', 14 * DAY],
    ['P1DT2H3M4S', DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND],
    ['PT1H5S', HOUR + 5 * SECOND],
    ['P3650D', TEN_YEARS],
  ])('reads the duration %s relative to now', (text, ms) => {
    expect(parseReconnectAfter(text, NOW)).toBe(NOW + ms);
  });

  it.each([
    '2024-05-06T08:08:09Z',
    '2024-05-06T10:08:09+02:00',
    '2024-05-06T08:08:09.000Z',
    '2024-05-06T03:38:09.000-04:30',
  ])('reads the timestamp %s with any offset', (text) => {
    expect(parseReconnectAfter(text, NOW)).toBe(Date.parse('2024-05-06T08:08:09Z'));
  });

  it('rounds to whole milliseconds if a fraction of a second is not exact in binary', () => {
    expect(parseReconnectAfter('PT1.001S', 0)).toBe(1001);
    expect(parseReconnectAfter('PT16.001S', 0)).toBe(16_001);
  });

  it('reads a timestamp in the past as a window that has already ended', () => {
    expect(parseReconnectAfter('2020-01-01T00:00:00Z', NOW)).toBe(Date.parse('2020-01-01T00:00:00Z'));
  });

  it('allows ten years ahead and not a millisecond more', () => {
    expect(parseReconnectAfter(new Date(NOW + TEN_YEARS).toISOString(), NOW)).toBe(NOW + TEN_YEARS);
    expect(parseReconnectAfter(new Date(NOW + TEN_YEARS + 1).toISOString(), NOW)).toBeUndefined();
    expect(parseReconnectAfter('P3650DT0.001S', NOW)).toBeUndefined();
    expect(parseReconnectAfter('P9999W', NOW)).toBeUndefined();
    expect(parseReconnectAfter('9999-12-31T23:59:59Z', NOW)).toBeUndefined();
  });

  it.each([
    '',
    'P',
    'PT',
    'P1DT',
    'P1Y',
    'P1M',
    'P1Y2M3D',
    'P1W2D',
    'PT5',
    'PT1S1M',
    'PT1.5M',
    'PT.5S',
    'PT1.2345S',
    '-PT1S',
    'PT-1S',
    '+PT1S',
    'pt30s',
    ' PT30S',
    'PT30S\n',
    'Never',
    'never ',
    '30',
    '2024-05-06',
    '2024-05-06T08:08:09',
    '2024-05-06 08:08:09Z',
    '2024-02-30T00:00:00Z',
    '2024-05-06T25:00:00Z',
    'Mon, 06 May 2024 08:08:09 GMT',
  ])('gives undefined for %j', (text) => {
    expect(parseReconnectAfter(text, NOW)).toBeUndefined();
  });

  it('adds any number of whole seconds of PTnS to now', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: TEN_YEARS / SECOND }), fc.integer({ min: 0, max: 4e12 }), (n, now) => {
        expect(parseReconnectAfter(`PT${n}S`, now)).toBe(now + n * SECOND);
      }),
    );
  });

  it('adds up days, hours, minutes and seconds', () => {
    const upTo99 = fc.integer({ min: 0, max: 99 });
    fc.assert(
      fc.property(upTo99, upTo99, upTo99, upTo99, (d, h, m, s) => {
        const ms = d * DAY + h * HOUR + m * MINUTE + s * SECOND;
        expect(parseReconnectAfter(`P${d}DT${h}H${m}M${s}S`, NOW)).toBe(NOW + ms);
      }),
    );
  });

  it('reads back every timestamp that a clock can write', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: NOW + TEN_YEARS }), (at) => {
        expect(parseReconnectAfter(new Date(at).toISOString(), NOW)).toBe(at);
      }),
    );
  });

  it('gives a whole number within ten years, never or undefined for any text', () => {
    const text = fc.oneof(
      fc.string({ unit: character }),
      fc.string({ unit: fc.constantFrom(...'PTWDHMS.0123456789'.split('')) }),
    );
    fc.assert(
      fc.property(text, (any) => {
        const until = parseReconnectAfter(any, NOW);
        if (until === undefined || until === 'never') return;
        expect(Number.isSafeInteger(until)).toBe(true);
        expect(until).toBeLessThanOrEqual(NOW + TEN_YEARS);
      }),
      { numRuns: 500 },
    );
  });

  it('accepts nothing that the pattern for documents refuses', () => {
    const pattern = new RegExp(RECONNECT_AFTER_PATTERN);
    const parts = ['P', 'T', 'W', 'D', 'H', 'M', 'S', '.', '1', '30', 'never', '2024-05-06T08:08:09', 'Z', '+02:00'];
    const text = fc.array(fc.constantFrom(...parts), { maxLength: 8 }).map((some) => some.join(''));
    const seen = { accepted: 0 };
    fc.assert(
      fc.property(fc.oneof(text, fc.constantFrom('P1DT2H3M4S', 'PT1.234S', 'P2W', 'PT0.5S')), (any) => {
        if (parseReconnectAfter(any, NOW) === undefined) return;
        seen.accepted++;
        expect(any).toMatch(pattern);
      }),
      { numRuns: 3000 },
    );
    expect(seen.accepted).toBeGreaterThan(100);
    for (const wrong of ['', 'P1Y', 'P1W2D', 'PT1.5M', 'Never', '30', '2024-05-06', 'never '])
      expect(wrong).not.toMatch(pattern);
  });
});
