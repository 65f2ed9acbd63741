import type { PublishOutcome } from './publish-outcome.js';

/** A publish that was written and waits for its PUBACK. */
export interface PendingPublish {
  /** When it was written, by `performance.now()`. */
  writtenAt: number;
  packetId: number | undefined;
  complete: (outcome: PublishOutcome) => void;
}

/**
 * The publishes that wait for their PUBACK, the oldest first. Reports a stall if the oldest one has waited for `pubackMs`: a
 * broker may answer pings and acknowledge nothing.
 */
export class PendingPublishes {
  private readonly pending = new Set<PendingPublish>();
  private stallTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly pubackMs: number,
    private readonly onStall: () => void,
  ) {}

  get size(): number {
    return this.pending.size;
  }

  add(publish: PendingPublish): void {
    this.pending.add(publish);
    this.stallTimer ??= setTimeout(() => this.checkOldest(), this.pubackMs).unref();
  }

  /** @returns whether it was still pending */
  remove(publish: PendingPublish): boolean {
    return this.pending.delete(publish);
  }

  /** @returns the publishes that were pending */
  completeAll(outcome: PublishOutcome): readonly PendingPublish[] {
    const pending = [...this.pending];
    for (const { complete } of pending) complete(outcome);
    return pending;
  }

  /** Reports no stall any more. */
  stopWatching(): void {
    clearTimeout(this.stallTimer);
  }

  private checkOldest(): void {
    this.stallTimer = undefined;
    const [oldest] = this.pending;
    if (oldest === undefined) return;
    const leftMs = oldest.writtenAt + this.pubackMs - performance.now();
    if (leftMs > 0) this.stallTimer = setTimeout(() => this.checkOldest(), leftMs).unref();
    else this.onStall();
  }
}
