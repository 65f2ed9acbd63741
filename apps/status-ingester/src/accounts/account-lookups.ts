/**
 * Asks for the accounts of clients, as the `account` to-dos of the shards require. Nothing waits for an answer, however slow
 * it is. The answer goes through the shard's mailbox; if there is none, the to-do comes up again.
 */
import { encodeCommand } from '@app/registry';
import type { Grant, Mailboxes } from '@app/sharding';
import type { KnownAccount } from '../rules/effect.js';
import type { AccountResolver } from './account-resolver.js';

/** Most questions at a time; the to-dos of the others come up again. */
const MOST_QUESTIONS = 1000;

export class AccountLookups {
  private readonly questions = new Map<string, Promise<void>>();

  constructor(
    private readonly resolver: AccountResolver,
    private readonly mailboxes: Pick<Mailboxes, 'send'>,
  ) {}

  /** What is known without waiting. */
  known(clientId: string): KnownAccount {
    return this.resolver.known(clientId);
  }

  /** Returns at once. */
  ask({ index: shard }: Grant, clientId: string): void {
    if (this.questions.size >= MOST_QUESTIONS || this.questions.has(clientId)) return;
    const question = this.answer(shard, clientId).finally(() => this.questions.delete(clientId));
    this.questions.set(clientId, question);
    // If the mailbox could not be reached, the to-do comes up again.
    question.catch(() => undefined);
  }

  async stop(): Promise<void> {
    await this.resolver.close();
    await Promise.allSettled(this.questions.values());
  }

  private async answer(shard: number, clientId: string): Promise<void> {
    const found = await this.resolver.resolve(clientId);
    if (found.kind === 'unavailable') return;
    const account = found.kind === 'account' ? found.account : null;
    await this.mailboxes.send(shard, encodeCommand({ clientId, command: { do: 'set-account', account } }));
  }
}
