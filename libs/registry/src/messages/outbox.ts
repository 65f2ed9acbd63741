/** The outboxes of connections: what is held, what fails by another account, and errors that clients report. */
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { messageCommands } from '../commands.js';
import { failMoved } from './account-check.js';
import { failingAct, type AnswerOutcome } from './answer-act.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

const failByClient = messageCommands.load<
  MessageKeys,
  { client: string; message_id: string; details: string; unmatched_event: string },
  AnswerOutcome
>('fail-by-client');

const isHeldCommand = messageCommands.load<MessageKeys, { client: string }, 0 | 1>('is-held');

const countHeld = messageCommands.load<MessageKeys, { clients: readonly string[] }, number[]>('held-counts');

/** Whether the queued messages of a client are held: it is offline, or the last attempt found no subscribers. */
export async function isHeld(redis: Redis, keys: RegistryKeys, shard: number, clientId: string): Promise<boolean> {
  return (await isHeldCommand.run(redis, keys.ofMessages(shard), { client: clientId })) === 1;
}

/** The number of held messages of each of these clients of one shard. */
export async function heldCounts(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  clientIds: readonly string[],
): Promise<number[]> {
  return countHeld.run(redis, keys.ofMessages(shard), { clients: clientIds });
}

export class Outboxes {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  /** Fails queued messages that were accepted for another account than the client's. @returns the number of them */
  async failMoved(shard: number, clientId: string): Promise<number> {
    const shardKeys = this.keys.ofMessages(shard);
    let failed = 0;
    for (let from = 0; from >= 0;) {
      const [count, next] = await failMoved.run(this.redis, shardKeys, { client: clientId, from });
      failed += count;
      from = next;
    }
    return failed;
  }

  /** Applies a client's `message-error`, for a to-do of 0.1.0; commits have an act for it. */
  async failByClient(
    clientId: string,
    messageId: string,
    details: string,
    /** Whether an event is appended if no message matches. */
    withEvent = true,
  ): Promise<AnswerOutcome> {
    const shard = shardOf(clientId, this.shardCount);
    const { answer } = failingAct(clientId, messageId, details, withEvent);
    return failByClient.run(this.redis, this.keys.ofMessages(shard), {
      client: clientId,
      message_id: messageId,
      details: answer.details,
      unmatched_event: answer.unmatched,
    });
  }
}
