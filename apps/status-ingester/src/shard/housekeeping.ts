/** Twice a second, does what time has made due on the shards owned here: to-dos, messages that expire or are forgotten. */
import { counter, type Logger } from '@app/platform';
import type { DueWorkOfShards } from '@app/registry';
import { StaleOwnerError, type Grant, type Ownership } from '@app/sharding';
import type { Effects } from './effects.js';

const expiredMessages = counter('messages_expired', 'Messages whose time to live ran out before they were published.');
const forgottenMessages = counter('messages_forgotten', 'Finished messages whose retention ended.');

/** A message becomes `expired` within a second of its time. */
const INTERVAL_MS = 500;

export class Housekeeping {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;

  constructor(
    private readonly ownership: Ownership,
    private readonly due: DueWorkOfShards,
    private readonly effects: Effects,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer = setInterval(() => {
      // A slow round, as while Redis is away, leaves out those that would have come meanwhile.
      this.round ??= this.tick().finally(() => (this.round = undefined));
    }, INTERVAL_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.round;
  }

  private async tick(): Promise<void> {
    const shards = this.ownership.held().filter(({ kind }) => kind === 'shard');
    await Promise.all(shards.map((grant) => this.keep(grant)));
  }

  private async keep(grant: Grant): Promise<void> {
    try {
      for (let more = true; more;) {
        const work = await this.due.take(grant);
        if (work.expired > 0) expiredMessages.inc(work.expired);
        if (work.forgotten > 0) forgottenMessages.inc(work.forgotten);
        this.effects.begin(grant, work.todos);
        more = work.more;
      }
    } catch (error) {
      if (error instanceof StaleOwnerError) this.ownership.lost(grant);
      else this.logger.warn({ err: error, shard: grant.index }, 'housekeeping failed; next try in half a second');
    }
  }
}
