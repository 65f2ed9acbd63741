/**
 * Gathers log lines, and writes them with one system call: a line for each request would cost more to write than to make, and
 * a batch of messages can log a thousand lines.
 */
import type { DestinationStream } from 'pino';
import { within } from './within.js';

export interface LineSink extends DestinationStream {
  /** Returns when all lines are written, but for those that are being written. */
  flushSync(): void;
}

interface Sink extends LineSink {
  /** `drain`: all lines are written. */
  once(event: 'drain', listener: () => void): unknown;
}

/** How long an info line waits for others, in milliseconds. */
const GATHER_MS = 25;
/** How long the end of the process waits for lines that are being written, in milliseconds: their reader may stand still. */
const FLUSH_MS = 1000;
/** With so many characters, lines wait no longer than until the end of the turn of the event loop. */
const FULL_LENGTH = 65_536;
/** How an info line begins. Any other may be the last one that a process writes, and does not wait for later turns. */
const INFO_BEGINS = '{"level":"info"';

export class BufferedLines implements LineSink {
  private lines: string[] = [];
  private length = 0;
  private timer: NodeJS.Timeout | undefined;
  private isScheduled = false;
  /** Set while the sink writes. */
  private written: Promise<void> | undefined;

  constructor(private readonly sink: Sink) {}

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

  /**
   * Called by pino before the process ends. A line that another thread writes then would be lost, or come after later ones.
   */
  flush(done: () => void): void {
    this.writeBuffered();
    void within(FLUSH_MS, this.written ?? Promise.resolve()).then(done);
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
    this.written ??= new Promise((resolve) => {
      this.sink.once('drain', () => {
        this.written = undefined;
        resolve();
      });
    });
    this.sink.write(text);
  }
}
