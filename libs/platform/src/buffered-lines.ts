/**
 * Writes all log lines of one turn of the event loop in one system call: a batch of messages can log a thousand lines.
 */
import type { DestinationStream } from 'pino';

export interface LineSink extends DestinationStream {
  /** Returns when all lines are written. */
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
      this.writeBuffered();
    });
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
    if (this.lines.length === 0) return;
    const text = this.lines.join('');
    this.lines = [];
    this.sink.write(text);
  }
}
