/** Stands by while ingesters of an older release run: they cannot read what this release writes. */
import type { Migration } from '@app/registry';

export class StandBy {
  private waiting = false;

  constructor(private readonly migration: Pick<Migration, 'untilOlderMembersAreGone'>) {}

  get isWaiting(): boolean {
    return this.waiting;
  }

  /** Rejects if `stopping` is aborted. */
  async untilAlone(stopping: AbortSignal): Promise<void> {
    this.waiting = true;
    try {
      await this.migration.untilOlderMembersAreGone(stopping);
    } finally {
      this.waiting = false;
    }
  }
}
