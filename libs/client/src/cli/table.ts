/** Tables of text that fit the terminal: if one is too wide, its widest columns are shortened, but never an id. */
import stringWidth from 'string-width';
import type { Colour, Style } from './colour.js';
import { printable } from './printable.js';

export interface Column {
  head: string;
  /** Never shortened: an id, which the next command needs. */
  whole?: true;
}

export type Cell = string | { text: string; style: Style | undefined };

const GAP = '  ';
/** No column becomes narrower than this. */
const NARROWEST = 6;

/**
 * Lines of a table, with nothing that controls a terminal but its own colours.
 * @param width columns of the terminal; Infinity if the output is no terminal
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  { width, colour }: { width: number; colour: Colour },
): string[] {
  const head = columns.map(({ head: text }): Cell => ({ text, style: 'bold' }));
  const cells = [head, ...rows].map((row) => columns.map((_, column) => shownCell(row[column] ?? '')));
  const natural = columns.map((_, column) => Math.max(...cells.map((row) => stringWidth(row[column]?.text ?? ''))));
  const widths = shrinkColumns(columns, natural, width - GAP.length * (columns.length - 1));
  return cells.map((row) => lineOf(row, widths, colour));
}

function shownCell(cell: Cell): { text: string; style: Style | undefined } {
  const { text, style } = typeof cell === 'string' ? { text: cell, style: undefined } : cell;
  return { text: printable(text), style };
}

function lineOf(row: readonly { text: string; style: Style | undefined }[], widths: number[], colour: Colour): string {
  const last = row.findLastIndex(({ text }) => text !== '');
  return row
    .slice(0, last + 1)
    .map(({ text, style }, column) => {
      const width = widths[column] ?? 0;
      const short = stringWidth(text) > width ? shorten(text, width) : text;
      const space = column === last ? 0 : Math.max(0, width - stringWidth(short));
      return colour(style, short) + ' '.repeat(space);
    })
    .join(GAP);
}

/** Widths whose sum is at most `available`: the widest columns become as narrow as needed, and no narrower. */
function shrinkColumns(columns: readonly Column[], natural: readonly number[], available: number): number[] {
  const widths = [...natural];
  const mayShrink = columns.flatMap(({ whole }, column) => (whole === true ? [] : [column]));
  for (let over = sum(widths) - available; over > 0; over = sum(widths) - available) {
    const own = mayShrink.map((column) => widths[column] ?? 0);
    const widest = Math.max(0, ...own);
    if (widest <= NARROWEST) break;
    const next = Math.max(NARROWEST, ...own.filter((one) => one < widest));
    const many = own.filter((one) => one === widest).length;
    const narrower = Math.max(next, widest - Math.ceil(over / many));
    for (const column of mayShrink) if (widths[column] === widest) widths[column] = narrower;
  }
  return widths;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** The beginning of a cell that is too wide, and an ellipsis. */
function shorten(cell: string, width: number): string {
  let kept = '';
  for (const { segment } of new Intl.Segmenter().segment(cell)) {
    if (stringWidth(kept + segment) > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}
