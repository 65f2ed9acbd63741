/** Tables of text that fit the terminal: if one is too wide, its widest columns are shortened. */
import stringWidth from 'string-width';
import { printable } from './printable.js';

const GAP = '  ';
/** No column becomes narrower than this. */
const NARROWEST = 6;

/** Lines of a table. @param width columns of the terminal; Infinity if the output is no terminal */
export function table(head: readonly string[], rows: readonly (readonly string[])[], width: number): string[] {
  const cells = [head, ...rows].map((row) => row.map(printable));
  const natural = head.map((_, column) => Math.max(...cells.map((row) => stringWidth(row[column] ?? ''))));
  const widths = shrinkColumns(natural, width - GAP.length * (head.length - 1));
  return cells.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

/** Widths whose sum is at most `available`: the widest columns become as narrow as needed, and no narrower. */
function shrinkColumns(natural: readonly number[], available: number): number[] {
  const widths = [...natural];
  for (let over = sum(widths) - available; over > 0; over = sum(widths) - available) {
    const widest = Math.max(...widths);
    if (widest <= NARROWEST) break;
    const next = Math.max(NARROWEST, ...widths.filter((one) => one < widest));
    const many = widths.filter((one) => one === widest).length;
    const narrower = Math.max(next, widest - Math.ceil(over / many));
    for (const [column, one] of widths.entries()) if (one === widest) widths[column] = narrower;
  }
  return widths;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function pad(cell: string, width: number): string {
  const short = stringWidth(cell) > width ? shorten(cell, width) : cell;
  return short + ' '.repeat(Math.max(0, width - stringWidth(short)));
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
