/**
 * Does what is due on the owned shards: runs to-dos, expires messages, gives up waiting for answers, deletes finished ones after their retention. Once or
 * twice a second one call finds the shards that have due work, and another one every five seconds those with finished messages to delete,
 * so that shards at rest cost next to nothing. Each of the others has its own rounds, so that a shard with a backlog, or without an
 * answer of Redis, delays no other.
 */
import { counter, type Logger } from '@app/platform';
import type { DueTodos } from '@app/registry';
import { StaleOwnerError, type Grant, type Ownership } from '@app/sharding';
import { deadLettered } from './dead-letters.js';
import type { ToDoRunner } from './todo-runner.js';

const expiredMessages = counter('messages_expired', 'Messages whose time to live ran out before they were published.');
const unknownOutcomes = counter(
  'due_messages_outcome_unknown',
  'Messages that housekeeping failed: their time to live had ended, and nobody knew whether they were published.',
);
const unansweredMessages = counter('messages_unanswered', 'Sent messages that got no answer before their deadline.');
const forgottenMessages = counter('messages_forgotten', 'Finished messages whose retention ended.');
const forgottenEarly = counter(
  'messages_forgotten_early',
  'Finished messages forgotten before their retention ended: their shard has too many of them or too many bytes.',
);

/**
 * Longest time between two looks, if nothing is planned before that: each look costs a process at rest as much as any other round trip.
 * A message becomes `expired` or `unanswered` within a second of its time.
 */
export const HOUSEKEEPING_MS = 1000;
/** The shortest time. */
const SOONEST_MS = 500;
/** One of so many looks is also for finished messages. */
const FINISHED_EVERY = 5;
/** Most batches of a shard in one round; the next round continues. */
const MOST_BATCHES = 20;

export class Housekeeping {
  private timer: NodeJS.Timeout | undefined;
  private finding: Promise<void> | undefined;
  private isStopping = false;
  /** By shard. */
  private readonly rounds = new Map<number, Promise<void>>();
  /** Shards whose last round has left something. */
  private readonly unfinished = new Set<number>();
  private checks = 0;

  constructor(
    private readonly ownership: Pick<Ownership, 'grants' | 'lost'>,
    private readonly due: Pick<DueTodos, 'find' | 'findFinished' | 'claim' | 'deadLetter'>,
    private readonly todos: Pick<ToDoRunner, 'resume'>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.findIn(SOONEST_MS);
  }

  private findIn(ms: number): void {
    this.timer = setTimeout(() => {
      this.finding = this.beginRounds().then((nextInMs) => {
        if (!this.isStopping) this.findIn(untilNextFind(nextInMs));
      });
    }, ms);
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    clearTimeout(this.timer);
    await this.finding;
    await Promise.all(this.rounds.values());
  }

  /** @returns milliseconds until something else is due; 0 if that is not known */
  private async beginRounds(): Promise<number> {
    // Leaves out a shard while its last round still runs.
    const shards = this.ownership.grants().filter(({ kind, index }) => kind === 'shard' && !this.rounds.has(index));
    if (shards.length === 0) return 0;
    try {
      const withFinished = this.checks++ % FINISHED_EVERY === 0;
      const [due, finished] = await Promise.all([
        this.due.find(shards),
        withFinished ? this.due.findFinished(shards) : shards.filter(({ index }) => this.unfinished.has(index)),
      ]);
      if (this.isStopping) return 0;
      for (const grant of new Set([...due.grants, ...finished])) {
        const round = this.keep(grant).finally(() => this.rounds.delete(grant.index));
        this.rounds.set(grant.index, round);
      }
      return this.rounds.size > 0 ? 0 : due.nextInMs;
    } catch (error) {
      this.logger.warn({ err: error }, 'could not find what is due; next try in half a second');
      return 0;
    }
  }

  private async keep(grant: Grant): Promise<void> {
    this.unfinished.delete(grant.index);
    try {
      for (let batch = 0, more = true; more && batch < MOST_BATCHES; batch++) {
        const work = await this.due.claim(grant);
        if (work.expired > 0) expiredMessages.inc(work.expired);
        if (work.outcomeUnknown > 0) unknownOutcomes.inc(work.outcomeUnknown);
        if (work.unanswered > 0) unansweredMessages.inc(work.unanswered);
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
        if (more && batch === MOST_BATCHES - 1) this.unfinished.add(grant.index);
      }
    } catch (error) {
      if (error instanceof StaleOwnerError) this.ownership.lost(grant);
      else this.logger.warn({ err: error, shard: grant.index }, 'housekeeping failed; next try in half a second');
    }
  }
}

/** @param nextInMs milliseconds until something is due; 0 if that is not known */
export function untilNextFind(nextInMs: number): number {
  return Math.min(HOUSEKEEPING_MS, Math.max(SOONEST_MS, nextInMs));
}
