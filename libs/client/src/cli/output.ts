/** Writes results to stdout and everything else to stderr. Control characters are escaped first. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { jsonLine, printable } from './printable.js';
import { table } from './table.js';

export class Output {
  private hasLine = false;

  constructor(
    private readonly stdout: Writable & { columns?: number; isTTY?: boolean },
    private readonly stderr: Writable & { columns?: number; isTTY?: boolean },
    /** Whether to write one JSON object per line instead of text for people. */
    readonly json: boolean,
  ) {}

  /** An object, for scripts. */
  async object(value: unknown): Promise<void> {
    await this.write(this.stdout, jsonLine(value));
  }

  /** Text for people. */
  async lines(lines: readonly string[]): Promise<void> {
    for (const line of lines) await this.write(this.stdout, printable(line));
  }

  async table(head: readonly string[], rows: readonly (readonly string[])[]): Promise<void> {
    const { isTTY, columns } = this.stdout;
    await this.lines(table(head, rows, isTTY === true && columns !== undefined ? columns : Infinity));
  }

  async note(text: string): Promise<void> {
    for (const line of text.split('\n')) await this.write(this.stderr, printable(line));
  }

  /** Whether people see stderr on a terminal, on which a line can be written over. */
  get canRewrite(): boolean {
    return this.stderr.isTTY === true && !this.json;
  }

  get noteColumns(): number {
    return this.stderr.columns ?? 80;
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

  /** Waits for a slow reader, so that unread output does not fill the memory. */
  private async write(stream: Writable, line: string): Promise<void> {
    if (!stream.write(`${line}\n`)) await once(stream, 'drain');
  }
}
