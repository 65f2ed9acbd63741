import fc from 'fast-check';
import { jsonLine, printable } from './printable.js';

const HOSTILE = '\u001b[2J\u009b31m\u0007\r\n\u202egnp.exe\u2028\u{e0041}\ud800';

it('printable() escapes control characters, hidden characters and those that reorder text', () => {
  expect(printable(`a${HOSTILE}b é 漢 👩`)).toBe(
    'a\\u{1b}[2J\\u{9b}31m\\u{7}\\u{d}\\u{a}\\u{202e}gnp.exe\\u{2028}\\u{e0041}\\u{d800}b é 漢 👩',
  );
});

it('jsonLine() keeps the value and leaves no such character in the text', () => {
  const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constant(HOSTILE));
  const property = fc.property(fc.dictionary(text, text, { noNullPrototype: true }), (value) => {
    const line = jsonLine(value);
    expect(line).not.toMatch(unsafe);
    expect(JSON.parse(line)).toEqual(value);
  });
  fc.assert(property);
});
