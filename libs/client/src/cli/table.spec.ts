import fc from 'fast-check';
import stringWidth from 'string-width';
import { table } from './table.js';

it('a table is as wide as its cells if the terminal has room', () => {
  expect(
    table(
      ['ID', 'STATE'],
      [
        ['a', 'online'],
        ['漢字', 'off'],
      ],
      80,
    ),
  ).toEqual(['ID    STATE', 'a     online', '漢字  off']);
});

it('a table that is too wide shortens its widest column, and marks what it shortened', () => {
  expect(table(['ID', 'STATE'], [['a-very-long-client-id', 'online']], 20)).toEqual([
    'ID            STATE',
    'a-very-long…  online',
  ]);
});

it('a table fits any terminal that has room for its narrowest form', () => {
  const cell = fc.string({ unit: 'grapheme', maxLength: 40 });
  const rows = fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 });
  const property = fc.property(rows, fc.integer({ min: 22, max: 100 }), (cells, width) => {
    for (const line of table(['A', 'B', 'C'], cells, width)) expect(stringWidth(line)).toBeLessThanOrEqual(width);
  });
  fc.assert(property);
});
