/**
 * Does the to-dos that commits wrote: answers to clients, wake-ups, failed messages. Each may be done twice, none
 * is lost: a to-do leaves Redis only after it was done, and what is still there comes up again by housekeeping.
 */
import { counter, type Logger, type Redis } from '@app/platform';
import { TopicTemplate, encodeAnswer } from '@app/protocol';
import type { Publisher } from '@app/broker';
import {
  encodeCommand,
  type Command,
  type ConnectionDirectory,
  type DueWorkOfShards,
  type Outboxes,
  type RegistryKeys,
  type DueToDo,
  type ToDo,
  type WakeUps,
} from '@app/registry';
import type { AccountQuestions } from '../accounts/account-questions.js';
import type { Verifier } from '../agreement/verifier.js';
import { StaleOwnerError, type Grant, type Mailboxes } from '@app/sharding';

const done = counter('todos_done', 'To-dos done, by kind.', ['kind']);
const clientErrors = counter('client_errors', 'message-error messages of clients, by outcome.', ['outcome']);

/** Most to-dos under way; the rest comes up by housekeeping. */
const MOST_AT_ONCE = 2000;
/** A refused message is answered once within this time. */
const ANSWERED_MS = 7 * 86_400_000;
/** A client whose message had no readable id is answered once a minute. */
const ANSWERED_UNREADABLE_MS = 60_000;

export interface EffectTools {
  verifier: Verifier;
  /** Undefined where accounts are not in use. */
  accounts: AccountQuestions | undefined;
  redis: Redis;
  keys: RegistryKeys;
  due: DueWorkOfShards;
  wakeUps: WakeUps;
  outboxes: Outboxes;
  directory: ConnectionDirectory;
  mailboxes: Mailboxes;
  publisher: Publisher;
  outTopic: TopicTemplate;
  logger: Logger;
}

export class Effects {
  private underWay = 0;
  private readonly running = new Set<Promise<void>>();
  private readonly stopping = new AbortController();

  constructor(private readonly tools: EffectTools) {}

  /** Starts what there is room for; returns at once. */
  begin(grant: Grant, todos: readonly DueToDo[]): void {
    const room = todos.slice(0, Math.max(0, MOST_AT_ONCE - this.underWay));
    if (room.length === 0) return;
    this.underWay += room.length;
    const run = this.run(grant, room).finally(() => {
      this.underWay -= room.length;
      this.running.delete(run);
    });
    this.running.add(run);
  }

  /** Waits for what is under way; what waits for the broker is given up and comes up again. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  private async run(grant: Grant, todos: readonly DueToDo[]): Promise<void> {
    const { due, logger } = this.tools;
    try {
      const outcomes = await Promise.allSettled(todos.map(({ todo }) => this.perform(grant, todo)));
      const finished = todos.filter((_, i) => outcomes[i]?.status === 'fulfilled' && outcomes[i].value);
      await due.done(grant, finished);
      for (const { todo } of finished) done.inc({ kind: todo.do });
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    } catch (error) {
      if (error instanceof StaleOwnerError) return;
      logger.warn({ err: error, shard: grant.index }, 'to-dos failed; they come up again');
    }
  }

  /** @returns whether it is done. */
  private async perform(grant: Grant, todo: ToDo): Promise<boolean> {
    if (todo.do === 'wake') {
      await this.tools.wakeUps.wake([grant.index]);
      done.inc({ kind: todo.do });
      // The drain removes this to-do.
      return false;
    }
    const { outboxes, publisher, mailboxes, directory, verifier, accounts, logger } = this.tools;
    const send = (command: Command): Promise<boolean> =>
      mailboxes.send(grant.index, encodeCommand({ clientId: todo.client_id, command }));
    switch (todo.do) {
      case 'answer':
        return this.answer(grant, todo);
      case 'message-error': {
        const { client_id, in_response_to: message_id, details } = todo;
        const outcome = await outboxes.failByClient(client_id, message_id, details);
        clientErrors.inc({ outcome });
        logger.info({ client_id, message_id, shard: grant.index, outcome, details }, 'message-error of a client');
        return true;
      }
      case 'clear-retained': {
        const [connection] = await directory.load(grant.index, [todo.client_id]);
        if (connection?.status_topic === todo.status_topic) return true;
        const topic = new TopicTemplate(todo.status_topic).topicOf(todo.client_id);
        const outcome = await publisher.publish(topic, '', { retain: true, signal: this.stopping.signal });
        return outcome.kind !== 'aborted';
      }
      case 'verify':
        verifier.doubt(grant, [{ clientId: todo.client_id, reason: 'again' }]);
        // Its result, once applied, removes this to-do.
        return false;
      case 'confirm':
        return send({ do: 'verify', reason: todo.after ?? 'goodbye' });
      case 'forget':
        await send({ do: 'forget', overdue: true });
        // The command itself removes this to-do, or puts it off.
        return false;
      case 'account':
        accounts?.ask(grant, todo.client_id);
        // The answer, once applied, removes this to-do, or puts it off.
        return accounts === undefined;
      case 'tell':
        await send({ do: 'tell' });
        return false;
    }
  }

  private async answer(
    grant: Grant,
    { client_id, answer, message_id }: Extract<ToDo, { do: 'answer' }>,
  ): Promise<boolean> {
    const { redis, keys, publisher, outTopic, logger } = this.tools;
    const once =
      answer.type === 'handshake-error' ? keys.answered(grant.index, client_id, answer.in_response_to) : undefined;
    if (once !== undefined && (await redis.exists(once)) === 1) return true;
    const text = encodeAnswer(answer, message_id);
    const outcome = await publisher.publish(outTopic.topicOf(client_id), text, { signal: this.stopping.signal });
    if (outcome.kind === 'aborted') return false;
    if (once !== undefined) {
      const unreadable = answer.type === 'handshake-error' && answer.in_response_to === null;
      await redis.set(once, '1', 'PX', unreadable ? ANSWERED_UNREADABLE_MS : ANSWERED_MS);
    }
    logger.info(
      { client_id, message_id, shard: grant.index, type: answer.type, outcome: outcome.kind },
      'client answered',
    );
    return outcome.kind !== 'refused' || outcome.forGood;
  }
}
