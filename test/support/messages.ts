/** Messages accepted one by one, as specs that need some do. */
import type { AcceptOutcome, Messages, NewMessage } from '@app/registry';

/** Accepts one message under an id that was minted for it. */
export async function acceptOne(messages: Messages, messageId: string, message: NewMessage): Promise<AcceptOutcome> {
  const { outcomes } = await messages.accept(messages.shardOf(message.clientId), [{ ...message, messageId }]);
  const [outcome] = outcomes;
  if (outcome === undefined) throw new Error('a message got no answer');
  return outcome;
}
