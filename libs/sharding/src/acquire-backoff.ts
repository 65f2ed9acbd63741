import { Backoff } from '@app/platform';

/** Waiting times after failures, in milliseconds. */
const RETRY = { base: 50, cap: 1000, healthyAfter: 5000 } as const;

/** When each shard or lane may be asked for next: not while another holds it, and not soon after it could not be taken. */
export class AcquireBackoff {
  /** Those held by others, and until when at the latest. */
  private readonly held = new Map<string, number>();
  private readonly failures = new Map<string, { backoff: Backoff; notBefore: number }>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Another holds it, for so long unless it is given back earlier. */
  heldFor(name: string, ms: number): void {
    this.held.set(name, this.now() + ms);
  }

  /** Something was given back, or taken: those held may be free. Those that failed wait all the same. */
  holdersChanged(): void {
    this.held.clear();
  }

  succeeded(name: string): void {
    this.held.delete(name);
    this.failures.get(name)?.backoff.succeeded();
  }

  /** @returns how many milliseconds to wait; longer with each failure in a row. */
  failed(name: string): number {
    const backoff =
      this.failures.get(name)?.backoff ?? new Backoff(RETRY.base, RETRY.cap, RETRY.healthyAfter, this.now);
    const waitMs = backoff.failed();
    this.failures.set(name, { backoff, notBefore: this.now() + waitMs });
    return waitMs;
  }

  /** In how many milliseconds it may be asked for; 0 or less: now. */
  dueIn(name: string): number {
    const at = Math.max(this.held.get(name) ?? 0, this.failures.get(name)?.notBefore ?? 0);
    return at - this.now();
  }
}
