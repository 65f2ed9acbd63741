/**
 * Streams that are open, by who opened them: so many a caller, and none for longer than its credentials are good. A
 * key that is revoked, and a token past its end, take their streams with them.
 */
import { Problem } from '../http/problem.js';
import type { Caller } from './caller.js';

/** What a stream here can do: tell that it has ended, and be ended. */
export interface OpenStream {
  once(event: 'close', listener: () => void): unknown;
  finish(reason: 'credentials'): void;
}

/** How often credentials are looked at again. */
const LOOK_EVERY_MS = 1000;

export class OpenStreams {
  private readonly open = new Map<OpenStream, Caller>();
  private readonly taken = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly perCaller: number,
    private readonly isCurrent: (caller: Caller) => boolean,
  ) {}

  /** Opens a stream in a place of its caller's, which is free again when it closes. @throws Problem; what `open` throws */
  async admit<Stream extends OpenStream>(caller: Caller, open: () => Promise<Stream>): Promise<Stream> {
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
    this.timer ??= setInterval(() => this.look(), LOOK_EVERY_MS);
    return stream;
  }

  private look(): void {
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
