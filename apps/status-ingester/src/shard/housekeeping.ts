/**
 * Does what is due on the owned shards, twice a second: runs to-dos, expires messages, deletes finished ones after their
 * retention. Each shard has its own rounds, so that a shard with a backlog, or without an answer of Redis, delays no other.
 */
import { counter, type Logger } from '@app/platform';
import type { DueTodos } from '@app/registry';
import { StaleOwnerError, type Grant, type Ownership } from '@app/sharding';
import { deadLettered } from './dead-letters.js';
import type { ToDoRunner } from './todo-runner.js';

const expiredMessages = counter('messages_expired', 'Messages whose time to live ran out before they were published.');
const forgottenMessages = counter('messages_forgotten', 'Finished messages whose retention ended.');
const forgottenEarly = counter(
  'messages_forgotten_early',
  'Finished messages forgotten before their retention ended: their shard has too many of them or too many bytes.',
);

/** A message becomes `expired` within a second of its time. */
export const HOUSEKEEPING_MS = 500;
/** Most batches of a shard in one round; the next round continues. */
const MOST_BATCHES = 20;

export class Housekeeping {
  private timer: NodeJS.Timeout | undefined;
  /** By shard. */
  private readonly rounds = new Map<number, Promise<void>>();

  constructor(
    private readonly ownership: Pick<Ownership, 'grants' | 'lost'>,
    private readonly due: Pick<DueTodos, 'claim' | 'deadLetter'>,
    private readonly todos: Pick<ToDoRunner, 'resume'>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer = setInterval(() => this.tick(), HOUSEKEEPING_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.rounds.values());
  }

  private tick(): void {
    for (const grant of this.ownership.grants()) {
      // Skips the shard while its last round still runs, as it does while Redis is away.
      if (grant.kind !== 'shard' || this.rounds.has(grant.index)) continue;
      this.rounds.set(
        grant.index,
        this.keep(grant).finally(() => this.rounds.delete(grant.index)),
      );
    }
  }

  private async keep(grant: Grant): Promise<void> {
    try {
      for (let batch = 0, more = true; more && batch < MOST_BATCHES; batch++) {
        const work = await this.due.claim(grant);
        if (work.expired > 0) expiredMessages.inc(work.expired);
        if (work.forgotten > 0) forgottenMessages.inc(work.forgotten);
        if (work.forgottenEarly > 0) forgottenEarly.inc(work.forgottenEarly);
        this.todos.resume(grant, work.todos);
        if (work.unreadable.length > 0) {
          deadLettered.inc({ reason: 'internal-error' }, await this.due.deadLetter(grant, work.unreadable));
          this.logger.error(
            { shard: grant.index, unreadable: work.unreadable },
            'to-dos dead-lettered: they cannot be read',
          );
        }
        more = work.more;
      }
    } catch (error) {
      if (error instanceof StaleOwnerError) this.ownership.lost(grant);
      else this.logger.warn({ err: error, shard: grant.index }, 'housekeeping failed; next try in half a second');
    }
  }
}
