/** Writes entries into mailboxes. If a mailbox is full, it waits until there is room. */
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '@app/platform';
import type { Mailboxes } from '@app/sharding';

export class BackpressuredMailboxWriter {
  constructor(
    private readonly mailboxes: Pick<Mailboxes, 'sendAll'>,
    private readonly signal: AbortSignal,
  ) {}

  async send(shard: number, items: readonly string[]): Promise<void> {
    let left = items;
    for (let attempt = 0; left.length > 0;) {
      const taken = await this.mailboxes.sendAll(shard, left);
      left = left.slice(taken);
      attempt = taken > 0 ? 0 : attempt + 1;
      if (left.length > 0) await sleep(backoffMs(attempt, 20, 500), undefined, { signal: this.signal });
    }
  }
}
