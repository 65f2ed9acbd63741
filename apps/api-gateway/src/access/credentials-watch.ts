/** Watches whether the credentials of requests that stay open are still valid. */
import type { Caller } from './caller.js';

/** How often they are checked, in milliseconds. */
const CHECK_EVERY_MS = 1000;

interface Watched {
  caller: Caller;
  onRevoked(): void;
}

export class CredentialsWatch {
  private readonly watched = new Set<Watched>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly isCurrent: (caller: Caller) => boolean) {}

  /** Calls `onRevoked` once, when the credentials of the caller are revoked or have expired. @returns ends the watch */
  watch(caller: Caller, onRevoked: () => void): () => void {
    const one = { caller, onRevoked };
    this.watched.add(one);
    this.timer ??= setInterval(() => this.check(), CHECK_EVERY_MS);
    return () => this.endWatch(one);
  }

  private check(): void {
    for (const one of this.watched) {
      if (this.isCurrent(one.caller)) continue;
      this.endWatch(one);
      one.onRevoked();
    }
  }

  private endWatch(one: Watched): void {
    this.watched.delete(one);
    if (this.watched.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
