/** The work of a shard that is due: to-dos, and messages that expire, stay unanswered or are forgotten. Used by the shard's owner. */
import { isCluster, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands, messageCommands } from '../commands.js';
import type { DeadLetter } from '../events/event.js';
import { FINISHED_LIMITS, formerFinished, type FinishedLimits } from '../messages/finished-messages.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';
import { decodeToDo, encodeToDo, type DueToDo } from './to-do.js';

export interface DueWork {
  todos: DueToDo[];
  /** To-dos that no release up to this one has written; the caller dead-letters them. */
  unreadable: UnreadableToDo[];
  /** Number of messages that this call has expired. */
  expired: number;
  /** Number of messages that this call has failed, since their time to live has ended and nobody knows whether they were published. */
  outcomeUnknown: number;
  /** Number of sent messages of which no answer came in time. */
  unanswered: number;
  /** Number of finished messages that this call has removed because their retention has ended. */
  forgotten: number;
  /** Number of finished messages that this call has removed earlier because the shard has too many. */
  forgottenEarly: number;
  /** Whether more is due than one call takes. */
  more: boolean;
}

/** What a look for due work has found. */
export interface Due {
  /** The shards for which `claim` should be called. */
  grants: readonly Grant[];
  /** Milliseconds until something is due on another one; Infinity if nothing is planned, 0 if that is not known. */
  nextInMs: number;
}

export interface UnreadableToDo {
  text: string;
  /** Why it cannot be read. */
  problem: string;
}

/** A to-do that was claimed is due again after this time, unless it was done. */
export const TODO_AGAIN_MS = 10_000;
/** Limit for the to-dos, and for the messages, of one call. */
const BATCH = 100;
/** Limit for the messages that one call forgets early. With many calls a second, this is more than a shard can finish. */
const SURPLUS_BATCH = 200;
/** Most shards that one call looks at: it takes about half a millisecond. */
const SHARDS_AT_ONCE = 64;

const findDue = commands.load<{ shards: readonly string[] }, Record<string, never>, number[]>('find-due');

const findFinished = commands.load<{ shards: readonly string[] }, { shards: readonly (string | number)[] }, number[]>(
  'find-finished',
);

const takeDue = messageCommands.load<
  MessageKeys & { owner: string; former_finished: string },
  {
    fence: string;
    batch: number;
    again_ms: number;
    kept_count: number;
    kept_bytes: number;
    surplus_batch: number;
  },
  null | {
    expired: number;
    outcome_unknown: number;
    unanswered: number;
    forgotten: number;
    forgotten_early: number;
    more: 0 | 1;
    due: string;
    todos: string[];
  }
>('take-due');

const completeTodos = commands.load<
  { owner: string; todo: string },
  { fence: string; done: readonly (string | number)[] },
  0 | -1
>('complete-todos');

const deadLetterTodos = commands.load<
  { owner: string; todo: string; dead_letters: string; log: string },
  { fence: string; unreadable: readonly string[] },
  number
>('dead-letter-todos');

export class DueTodos {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly finishedLimits: (shard: number) => FinishedLimits = () => FINISHED_LIMITS,
  ) {}

  /**
   * Finds the shards with to-dos or messages that are due, for which `claim` should be called. On a Redis Cluster these are all of
   * them, because no call may look at several shards.
   */
  async find(grants: readonly Grant[]): Promise<Due> {
    if (isCluster(this.redis)) return { grants, nextInMs: 0 };
    const found = await Promise.all(
      inGroups(grants).map(async (group) => {
        const shards = group.flatMap(({ index }) => [
          this.keys.todo(index),
          this.keys.expiry(index),
          this.keys.awaiting(index),
        ]);
        const [nextInMs = -1, ...places] = await findDue.run(this.redis, { shards }, {});
        return { grants: at(places, group), nextInMs: nextInMs < 0 ? Infinity : nextInMs };
      }),
    );
    return {
      grants: found.flatMap((one) => one.grants),
      nextInMs: Math.min(...found.map((one) => one.nextInMs)),
    };
  }

  /** @returns the same for finished messages that have to be forgotten, and the grants that another process holds */
  async findFinished(grants: readonly Grant[]): Promise<readonly Grant[]> {
    if (isCluster(this.redis)) return grants;
    const found = await Promise.all(
      inGroups(grants).map(async (group) => {
        const shards = group.flatMap((grant) => {
          const { finished_due, finished_count, finished_bytes } = this.keys.ofMessages(grant.index);
          const former = formerFinished(this.keys, grant.index);
          return [this.keys.owner(grant), finished_due, finished_count, finished_bytes, former];
        });
        const limits = group.flatMap(({ index, fence }) => {
          const { count, bytes } = this.finishedLimits(index);
          return [fence, count, bytes];
        });
        return at(await findFinished.run(this.redis, { shards }, { shards: limits }), group);
      }),
    );
    return found.flat();
  }

  /** Claims the work that is due. A to-do that is not done in time becomes due again. @throws StaleOwnerError */
  async claim(grant: Grant): Promise<DueWork> {
    const { keys } = this;
    const shard = grant.index;
    const former_finished = formerFinished(keys, shard);
    const shardKeys = { ...keys.ofMessages(shard), owner: keys.owner(grant), former_finished };
    const { count, bytes } = this.finishedLimits(shard);
    const reply = await takeDue.run(this.redis, shardKeys, {
      fence: grant.fence,
      batch: BATCH,
      again_ms: TODO_AGAIN_MS,
      kept_count: count,
      kept_bytes: bytes,
      surplus_batch: SURPLUS_BATCH,
    });
    if (reply === null) throw new StaleOwnerError(grant);
    return {
      expired: reply.expired,
      outcomeUnknown: reply.outcome_unknown,
      unanswered: reply.unanswered,
      forgotten: reply.forgotten,
      forgottenEarly: reply.forgotten_early,
      more: reply.more === 1,
      ...decodeAll(reply.todos, Number(reply.due)),
    };
  }

  /** Moves unreadable to-dos to the dead letters. @returns the number of moved to-dos @throws StaleOwnerError */
  async deadLetter(grant: Grant, unreadable: readonly UnreadableToDo[]): Promise<number> {
    if (unreadable.length === 0) return 0;
    const { index: shard, fence } = grant;
    const keys = {
      owner: this.keys.owner(grant),
      todo: this.keys.todo(shard),
      dead_letters: this.keys.deadLetters(shard),
      log: this.keys.log(shard),
    };
    const args = { fence, unreadable: unreadable.flatMap((one) => [one.text, JSON.stringify(letterOf(one))]) };
    const moved = await deadLetterTodos.run(this.redis, keys, args);
    if (moved === -1) throw new StaleOwnerError(grant);
    return moved;
  }

  /** Removes to-dos that are done, except those that were written again in the meantime. */
  async done(grant: Grant, todos: readonly DueToDo[]): Promise<void> {
    if (todos.length === 0) return;
    const keys = { owner: this.keys.owner(grant), todo: this.keys.todo(grant.index) };
    const done = todos.flatMap(({ todo, due }) => [encodeToDo(todo), due]);
    const reply = await completeTodos.run(this.redis, keys, { fence: grant.fence, done });
    if (reply === -1) throw new StaleOwnerError(grant);
  }
}

function inGroups(grants: readonly Grant[]): Grant[][] {
  const count = Math.ceil(grants.length / SHARDS_AT_ONCE);
  return Array.from({ length: count }, (_, i) => grants.slice(i * SHARDS_AT_ONCE, (i + 1) * SHARDS_AT_ONCE));
}

function at(places: readonly number[], grants: readonly Grant[]): Grant[] {
  return places.flatMap((place) => grants[place] ?? []);
}

function decodeAll(texts: readonly string[], due: number): Pick<DueWork, 'todos' | 'unreadable'> {
  const todos: DueToDo[] = [];
  const unreadable: UnreadableToDo[] = [];
  for (const text of texts) {
    try {
      todos.push({ todo: decodeToDo(text), due });
    } catch (error) {
      unreadable.push({ text, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return { todos, unreadable };
}

function letterOf({ text, problem }: UnreadableToDo): DeadLetter {
  return {
    client_id: /"client_id":"([^"\\]{1,256})"/.exec(text)?.[1] ?? '',
    topic: '',
    reason: 'internal-error',
    details: `a to-do of the shard cannot be read: ${problem}`.slice(0, 1000),
    sample: text.slice(0, 1024),
  };
}
