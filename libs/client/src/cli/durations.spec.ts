import { millisecondsText, secondsOf } from './durations.js';
import { beginOf, timeOf } from './since.js';

it.each([
  ['30', 30],
  ['30s', 30],
  ['5m', 300],
  ['1h30m', 5400],
  ['2d', 172_800],
  ['1w', 604_800],
  ['0', 0],
  ['PT30S', 30],
  ['PT1H30M', 5400],
  ['P1DT1S', 86_401],
])('%s is %i seconds', (text, seconds) => {
  expect(secondsOf(text)).toBe(seconds);
});

it.each([
  [8.4, '8 ms'],
  [999.6, '1 s'],
  [1440, '1.4 s'],
  [59_960, '1m0s'],
  [125_000, '2m5s'],
  [3_725_000, '1h2m'],
])('%d ms is %s', (ms, text) => {
  expect(millisecondsText(ms)).toBe(text);
});

it.each(['', 'soon', '-5m', '1.5', '5 m', '5m30', '30m1h', 'P', 'PT', 'P1M', 'PT1.5S', '5M', '1h foo', '9'.repeat(10)])(
  '"%s" is no duration',
  (text) => {
    expect(secondsOf(text)).toBeUndefined();
  },
);

it('a duration in place of a time is that long ago, and a time stays as it is', () => {
  const now = Date.parse('2026-11-30T06:00:00Z');
  expect(timeOf('1h30m', now)).toBe('2026-11-30T04:30:00.000Z');
  expect(timeOf('2026-11-30', now)).toBe('2026-11-30');
  expect(timeOf(undefined, now)).toBeUndefined();
  expect(() => timeOf('5q', now)).toThrow('--since must be a duration such as 5m or 1h30m, or a time such as');
});

it('events begin at a time, or after the id of an event, and not at an event_id', () => {
  expect(beginOf('5m')).toEqual({ since: expect.stringMatching(/Z$/) as string });
  expect(beginOf('2026-11-30T06:00:00Z')).toEqual({ since: '2026-11-30T06:00:00Z' });
  expect(beginOf('AgGtFbRdwA')).toEqual({ lastEventId: 'AgGtFbRdwA' });
  expect(() => beginOf('11-1795000000000-3')).toThrow('not its `event_id`');
});
