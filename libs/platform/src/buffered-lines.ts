/**
 * Log lines of one turn of the event loop, written together: a line of its own would cost a system call, and a batch
 * logs a thousand lines.
 */
import type { DestinationStream } from 'pino';

export interface LineSink extends DestinationStream {
  /** Writes everything that it was given, and returns when it is written. */
  flushSync(): void;
}

export class BufferedLines implements LineSink {
  private lines: string[] = [];
  private isScheduled = false;

  constructor(private readonly sink: LineSink) {}

  write(line: string): void {
    this.lines.push(line);
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      this.passOn();
    });
  }

  /** As pino calls it before the process ends. */
  flush(done: () => void): void {
    this.passOn();
    done();
  }

  flushSync(): void {
    this.passOn();
    this.sink.flushSync();
  }

  private passOn(): void {
    if (this.lines.length === 0) return;
    const text = this.lines.join('');
    this.lines = [];
    this.sink.write(text);
  }
}
