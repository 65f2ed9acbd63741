import fc from 'fast-check';
import stringWidth from 'string-width';
import { plain } from './colour.js';
import { table, type Column } from './table.js';

const columns = (...heads: string[]): Column[] => heads.map((head) => ({ head }));

it('a table is as wide as its cells if the terminal has room', () => {
  const rows = [
    ['a', 'online'],
    ['漢字', 'off'],
  ];
  expect(table(columns('ID', 'STATE'), rows, { width: 80, colour: plain })).toEqual([
    'ID    STATE',
    'a     online',
    '漢字  off',
  ]);
});

it('a table that is too wide shortens its widest column, and marks what it shortened', () => {
  const rows = [['a-very-long-name', 'online']];
  expect(table(columns('NAME', 'STATE'), rows, { width: 16, colour: plain })).toEqual([
    'NAME      STATE',
    'a-very-…  online',
  ]);
});

it('an id is never shortened, even if the line is too wide then', () => {
  const [lines] = [
    table([{ head: 'ID', whole: true }, { head: 'NAME' }], [['i'.repeat(30), 'n'.repeat(30)]], {
      width: 20,
      colour: plain,
    }),
  ];
  expect(lines[1]).toBe(`${'i'.repeat(30)}  ${'n'.repeat(5)}…`);
});

it('colours do not change the widths, and a cell has no other control characters', () => {
  const rows = [[{ text: '\u001b[2Jon', style: 'green' as const }, 'x']];
  const lines = table(columns('STATE', 'B'), rows, {
    width: 80,
    colour: (style, text) => (style ? `<${text}>` : text),
  });
  expect(lines).toEqual(['<STATE>        <B>', '<\\u{1b}[2Jon>  x']);
});

it('a table fits any terminal that has room for its narrowest form', () => {
  const cell = fc.string({ unit: 'grapheme', maxLength: 40 });
  const rows = fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 });
  const property = fc.property(rows, fc.integer({ min: 22, max: 100 }), (cells, width) => {
    const lines = table(columns('A', 'B', 'C'), cells, { width, colour: plain });
    for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(width);
  });
  fc.assert(property);
});
