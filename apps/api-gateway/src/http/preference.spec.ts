import fc from 'fast-check';
import { preferredWait } from './preference.js';

describe('preferredWait', () => {
  it.each([
    ['wait=1', 1],
    ['wait=60', 60],
    ['Wait = 10', 10],
    ['wait="10"', 10],
    ['respond-async, wait=10', 10],
    ['respond-async;a="x, wait=5"; b , wait=10;c', 10],
    ['handling="a, wait=5", wait=10', 10],
    ['wait=10, wait=20', 10],
    ['return=minimal,wait=010', 10],
  ])('reads the seconds of "%s"', (header, seconds) => {
    expect(preferredWait(header)).toBe(seconds);
  });

  it.each([
    ...['', ' ', ',', 'wait', 'wait=', 'wait=0', 'wait=61', 'wait=-1', 'wait=1.5', 'wait=1e1', 'wait=ten', 'wait=10s'],
    ...[
      'waiting=10',
      'a-wait=10',
      'handling="wait=10"',
      '"wait=10"',
      'respond-async wait=10',
      'a="x, wait=10',
      'wait=0, wait=10',
    ],
  ])('ignores "%s"', (header) => {
    expect(preferredWait(header)).toBeUndefined();
  });

  it('is undefined without the header', () => {
    expect(preferredWait(undefined)).toBeUndefined();
  });

  it('reads any text in a time that grows with its length', () => {
    const parts = fc.array(fc.constantFrom('wait', '=', '10', '"', '\\', ',', ';', ' ', 'a', '!'), { maxLength: 200 });
    fc.assert(
      fc.property(parts, (some) => {
        const seconds = preferredWait(some.join(''));
        expect(seconds === undefined || seconds === 10).toBe(true);
      }),
    );
  });
});
