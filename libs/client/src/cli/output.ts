/** Writes results to stdout and everything else to stderr. Control characters are escaped first. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Environment } from './args.js';
import { colourFor, type Colour, type Style } from './colour.js';
import { jsonLine, printable } from './printable.js';
import type { Cell, Column } from './table.js';
import { relativeTime } from './times.js';

export const FORMATS = ['table', 'json', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

export type Terminal = Writable & { columns?: number; rows?: number; isTTY?: boolean };

/** From the upper left corner on, the terminal is empty. */
const CLEAR = '\u001b[H\u001b[J';

/** Some terminals say 0 if they do not know. */
function knownSize(size: number | undefined): number {
  return size === undefined || size === 0 ? Infinity : size;
}

export class Output {
  private hasLine = false;
  private readonly colourResult: Colour;

  constructor(
    private readonly stdout: Terminal,
    private readonly stderr: Terminal,
    env: Environment,
    readonly format: Format = 'table',
  ) {
    this.colourResult = colourFor(stdout, env);
  }

  /** Whether results are for scripts, and not for people. */
  get structured(): boolean {
    return this.format !== 'table';
  }

  /** Whether a person watches stdout. */
  get onTerminal(): boolean {
    return this.stdout.isTTY === true && !this.structured;
  }

  /** Lines that fit on the terminal; Infinity if there is none. */
  get height(): number {
    return this.onTerminal ? knownSize(this.stdout.rows) : Infinity;
  }

  /** An object, for scripts. */
  async object(value: unknown): Promise<void> {
    if (this.format === 'yaml') {
      const { yamlDocument } = await import('./yaml-document.js');
      await this.write(this.stdout, yamlDocument(value));
    } else await this.write(this.stdout, jsonLine(value));
  }

  /** An object for scripts, or a line for people. */
  async result(value: unknown, line: string): Promise<void> {
    if (this.structured) await this.object(value);
    else await this.lines([line]);
  }

  /** Text for people. */
  async lines(lines: readonly string[]): Promise<void> {
    await this.safe(lines.map(printable));
  }

  async table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): Promise<void> {
    await this.safe(await this.tableLines(columns, rows));
  }

  /** Those of a table; they may have colours. */
  async tableLines(columns: readonly Column[], rows: readonly (readonly Cell[])[]): Promise<string[]> {
    const { table } = await import('./table.js');
    return table(columns, rows, { width: this.width, colour: this.colourResult });
  }

  /** An object, for scripts or for people. */
  async describe(value: object): Promise<void> {
    if (this.structured) return this.object(value);
    await this.safe(await this.describeLines(value));
  }

  async describeLines(value: object): Promise<string[]> {
    const { describe } = await import('./describe.js');
    const now = Date.now();
    const time = (text: string): string => (this.onTerminal ? `${text} (${relativeTime(text, now)})` : text);
    return describe(value, { width: this.width, colour: this.colourResult, time });
  }

  /** A time in a table: how long ago it was, on a terminal. */
  time(text: string | null | undefined): string {
    if (text === null || text === undefined) return '';
    return this.onTerminal ? relativeTime(text, Date.now()) : text;
  }

  /** A text of this tool in a line of its own, with a colour. */
  styled(style: Style | undefined, text: string): string {
    return this.colourResult(style, printable(text));
  }

  /** Lines in which `printable` has escaped what is not of this tool. */
  async safe(lines: readonly string[]): Promise<void> {
    for (const line of lines) await this.write(this.stdout, line);
  }

  /** Such lines, in place of all that the terminal shows. */
  async screen(lines: readonly string[]): Promise<void> {
    if (this.onTerminal) this.stdout.write(CLEAR);
    await this.safe(lines);
  }

  async note(text: string): Promise<void> {
    for (const line of text.split('\n')) await this.write(this.stderr, printable(line));
  }

  /** Whether people see stderr on a terminal, on which a line can be written over. */
  get canRewrite(): boolean {
    return this.stderr.isTTY === true && !this.structured;
  }

  get noteColumns(): number {
    return this.stderr.columns || 80;
  }

  /** Writes over the line that this wrote before. The line must fit the terminal, and be printable. */
  rewrite(line: string): void {
    this.hasLine = true;
    this.stderr.write(`\r\u001b[K${line}`);
  }

  /** Removes that line. */
  endRewrite(): void {
    if (this.hasLine) this.stderr.write('\r\u001b[K');
    this.hasLine = false;
  }

  private get width(): number {
    const { isTTY, columns } = this.stdout;
    return isTTY === true ? knownSize(columns) : Infinity;
  }

  /** Waits for a slow reader, so that unread output does not fill the memory. */
  private async write(stream: Writable, line: string): Promise<void> {
    if (!stream.write(`${line}\n`)) await once(stream, 'drain');
  }
}
