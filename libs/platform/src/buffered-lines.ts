/**
 * Gathers log lines, and writes them with one system call: a line for each request would cost more to write than to make, and
 * a batch of messages can log a thousand lines.
 */
import type { DestinationStream } from 'pino';

export interface LineSink extends DestinationStream {
  /** Returns when all lines are written. */
  flushSync(): void;
}

/** How long an info line waits for others, in milliseconds. */
const GATHER_MS = 25;
/** With so many characters, lines wait no longer than until the end of the turn of the event loop. */
const FULL_LENGTH = 65_536;
/** How an info line begins. Any other may be the last one that a process writes, and does not wait for later turns. */
const INFO_BEGINS = '{"level":"info"';

export class BufferedLines implements LineSink {
  private lines: string[] = [];
  private length = 0;
  private timer: NodeJS.Timeout | undefined;
  private isScheduled = false;

  constructor(private readonly sink: LineSink) {}

  write(line: string): void {
    this.lines.push(line);
    this.length += line.length;
    if (this.length < FULL_LENGTH && line.startsWith(INFO_BEGINS)) {
      this.timer ??= setTimeout(() => this.writeBuffered(), GATHER_MS);
    } else if (!this.isScheduled) {
      this.isScheduled = true;
      setImmediate(() => this.writeBuffered());
    }
  }

  /** Called by pino before the process ends. */
  flush(done: () => void): void {
    this.writeBuffered();
    done();
  }

  flushSync(): void {
    this.writeBuffered();
    this.sink.flushSync();
  }

  private writeBuffered(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.isScheduled = false;
    if (this.lines.length === 0) return;
    const text = this.lines.join('');
    this.lines = [];
    this.length = 0;
    this.sink.write(text);
  }
}
