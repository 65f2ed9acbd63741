/**
 * Limits the open event streams of each caller, and ends a stream when the credentials that opened it are revoked or
 * expire.
 */
import { Problem } from '../http/problem.js';
import type { Caller } from './caller.js';

/** A stream that counts: it reports its end, and can be ended. */
export interface LimitedStream {
  once(event: 'close', listener: () => void): unknown;
  finish(reason: 'credentials'): void;
}

/** How often credentials are checked again, in milliseconds. */
const LOOK_EVERY_MS = 1000;

export class StreamQuota {
  private readonly open = new Map<LimitedStream, Caller>();
  private readonly taken = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly perCaller: number,
    private readonly isCurrent: (caller: Caller) => boolean,
  ) {}

  /** Opens a stream that counts for its caller until it closes. @throws Problem; what `open` throws */
  async admit<Stream extends LimitedStream>(caller: Caller, open: () => Promise<Stream>): Promise<Stream> {
    const taken = this.taken.get(caller.id) ?? 0;
    if (taken >= this.perCaller) {
      throw new Problem('rate-limited', `these credentials have ${this.perCaller} streams open at this gateway`, {
        retryAfterSeconds: 5,
      });
    }
    this.taken.set(caller.id, taken + 1);
    let stream: Stream;
    try {
      stream = await open();
    } catch (error) {
      this.free(caller);
      throw error;
    }
    this.open.set(stream, caller);
    stream.once('close', () => {
      this.open.delete(stream);
      this.free(caller);
    });
    this.timer ??= setInterval(() => this.endExpired(), LOOK_EVERY_MS);
    return stream;
  }

  private endExpired(): void {
    for (const [stream, caller] of this.open) if (!this.isCurrent(caller)) stream.finish('credentials');
  }

  private free({ id }: Caller): void {
    const left = (this.taken.get(id) ?? 1) - 1;
    if (left > 0) this.taken.set(id, left);
    else this.taken.delete(id);
    if (this.taken.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
