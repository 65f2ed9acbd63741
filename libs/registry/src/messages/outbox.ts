/** The outboxes of connections: what is held, what fails by another account, and errors that clients report. */
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { messageCommands } from '../commands.js';
import { failMoved } from './account-check.js';
import type { Answer } from './message-report.js';
import { answerWords, type ReportOutcome } from './report-act.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

const failByClient = messageCommands.load<
  MessageKeys,
  Record<
    'client' | 'message_id' | 'status' | 'details' | 'answer_id' | 'answer' | 'size' | 'payload' | 'unmatched',
    string | number
  >,
  ReportOutcome
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
  ): Promise<ReportOutcome> {
    const shard = shardOf(clientId, this.shardCount);
    // The to-do does not say the id of the error.
    const error: Answer = { type: 'message-error', inResponseTo: messageId, messageId, details };
    const words = answerWords(clientId, error, Date.now(), { mayEmit: withEvent, omitLarge: false });
    const [, client, message_id, status, kept, answer_id, answer, size, payload, unmatched] = words;
    return failByClient.run(this.redis, this.keys.ofMessages(shard), {
      ...{ client, message_id, status, details: kept, answer_id, answer, size, payload, unmatched },
    });
  }
}
