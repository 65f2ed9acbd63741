/** Sends commands to the owner of a client's shard, through the mailbox of the shard, and waits for the reply. */
import { randomUUID } from 'node:crypto';
import { shardOf } from '@app/protocol';
import { type CommandReplies, encodeCommand, type Command, type CommandOutcome } from '@app/registry';
import type { Mailboxes } from '@app/sharding';
import { Problem, unknownConnection } from '../http/problem.js';

export class ConnectionCommands {
  constructor(
    private readonly mailboxes: Mailboxes,
    private readonly replies: CommandReplies,
    private readonly shardCount: number,
    private readonly timeoutMs: number,
  ) {}

  /**
   * Resolves when the owner has committed the command. `account`: the account that the caller is bound to.
   * @throws Problem
   */
  async send(clientId: string, command: Command, account?: string): Promise<CommandOutcome> {
    const id = randomUUID();
    const replied = this.replies.expect(id, this.timeoutMs);
    const reply = { channel: this.replies.channel, id };
    const item = encodeCommand({ clientId, command, reply, ...(account !== undefined && { account }) });
    if (!(await this.mailboxes.send(shardOf(clientId, this.shardCount), item))) {
      throw new Problem('unavailable', 'the mailbox of the shard of this client is full; nothing was done', {
        retryAfterSeconds: 1,
      });
    }
    const outcome = await replied;
    if (outcome === undefined) {
      throw new Problem(
        'unavailable',
        `the owner of the shard did not reply within ${this.timeoutMs} ms; the command is stored and may still be executed`,
        { retryAfterSeconds: 2 },
      );
    }
    if (outcome.kind === 'unknown') throw unknownConnection(clientId);
    if (outcome.kind === 'conflict') throw new Problem('conflict', outcome.details);
    return outcome;
  }
}
