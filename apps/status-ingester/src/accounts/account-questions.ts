/**
 * Asks whose connections are, for the to-dos of the shards, beside the other effects: however slow the answers are,
 * nothing else waits for them. An answer goes through the shard's mailbox; a question without one comes up again.
 */
import { encodeCommand } from '@app/registry';
import type { Grant, Mailboxes } from '@app/sharding';
import type { KnownAccount } from '../rules/effect.js';
import type { AccountResolver } from './account-resolver.js';

/** Questions under way; more come up again with their to-dos. */
const MOST_QUESTIONS = 1000;

export class AccountQuestions {
  private readonly underWay = new Map<string, Promise<void>>();

  constructor(
    private readonly resolver: AccountResolver,
    private readonly mailboxes: Pick<Mailboxes, 'send'>,
  ) {}

  /** What can be said without waiting. */
  known(clientId: string): KnownAccount {
    return this.resolver.known(clientId);
  }

  /** Returns at once. */
  ask({ index: shard }: Grant, clientId: string): void {
    if (this.underWay.size >= MOST_QUESTIONS || this.underWay.has(clientId)) return;
    const question = this.answer(shard, clientId).finally(() => this.underWay.delete(clientId));
    this.underWay.set(clientId, question);
    // A mailbox that could not be reached: the to-do comes up again.
    question.catch(() => undefined);
  }

  async stop(): Promise<void> {
    await this.resolver.close();
    await Promise.allSettled(this.underWay.values());
  }

  private async answer(shard: number, clientId: string): Promise<void> {
    const found = await this.resolver.resolve(clientId);
    if (found.kind === 'unavailable') return;
    const account = found.kind === 'account' ? found.account : null;
    await this.mailboxes.send(shard, encodeCommand({ clientId, command: { do: 'set-account', account } }));
  }
}
