/** One object for people: a line for each member, with the members of an inner object below it. */
import stringWidth from 'string-width';
import { styleOf, type Colour } from './colour.js';
import { printable } from './printable.js';
import { table } from './table.js';
import { isTime } from './times.js';

export interface DescribeStyle {
  width: number;
  colour: Colour;
  /** How a time is shown. */
  time: (time: string) => string;
}

const INDENT = '  ';
/** A payload that is deeper is shown as JSON. */
const DEEPEST = 4;

/** Lines with nothing that controls a terminal but their own colours. */
export function describe(value: object, style: DescribeStyle): string[] {
  return membersOf(value, style, 0);
}

function membersOf(value: object, style: DescribeStyle, depth: number): string[] {
  const members = Object.entries(value).map(([name, member]): [string, unknown] => [printable(name), member]);
  const simple = members.filter(([, member]) => isSimple(member, depth));
  const width = Math.max(0, ...simple.map(([name]) => stringWidth(name)));
  return members.flatMap(([name, member]) => {
    const label = style.colour('bold', name);
    if (!isSimple(member, depth)) {
      const inner = Array.isArray(member)
        ? rowsOf(member as object[], style)
        : membersOf(member as object, style, depth + 1);
      return [label, ...inner.map((line) => INDENT + line)];
    }
    const text = textOf(member, style);
    const shown = typeof member === 'string' ? style.colour(styleOf(member), text) : text;
    return [`${label}${' '.repeat(width - stringWidth(name))}${INDENT}${shown}`];
  });
}

/** A list of objects, such as the history of a message. */
function rowsOf(items: readonly object[], style: DescribeStyle): string[] {
  const names = [...new Set(items.flatMap((item) => Object.keys(item)))];
  const rows = items.map((item) => {
    const members = new Map<string, unknown>(Object.entries(item));
    return names.map((name) => rawText(members.get(name) ?? null, style));
  });
  const columns = names.map((head) => ({ head: printable(head), whole: true as const }));
  return table(columns, rows, { width: Infinity, colour: style.colour });
}

/** Whether a value fits one line. */
function isSimple(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null || depth >= DEEPEST) return true;
  if (Array.isArray(value)) return value.length === 0 || !value.every((item) => isFlat(item));
  return Object.keys(value).length === 0;
}

/** An object of an inner table. */
function isFlat(item: unknown): boolean {
  return typeof item === 'object' && item !== null && !Array.isArray(item) && Object.keys(item).length > 0;
}

function textOf(value: unknown, style: DescribeStyle): string {
  return printable(rawText(value, style));
}

function rawText(value: unknown, style: DescribeStyle): string {
  if (value === null) return '-';
  if (isTime(value)) return style.time(value);
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(', ');
  return JSON.stringify(value);
}
