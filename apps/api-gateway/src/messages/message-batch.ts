/** A batch of messages: each item is validated and answered individually. */
import type { NewMessage } from '@app/registry';
import type { Caller } from '../access/caller.js';
import { Problem } from '../http/problem.js';
import { readInput } from '../http/validation.js';
import type { MessageSender, SendOutcome } from './message-sender.js';
import { BatchItem, toAcceptedBody, toNewMessage, type BatchResultBody } from './message.dto.js';
import type { MessagesSettings } from './messages.settings.js';
import { refusal } from './refusal.js';

type Result = BatchResultBody['results'][number];
export type Accepted = Extract<SendOutcome, { kind: 'accepted' }>;

/** Sends the valid items. @returns the outcome of each item, in order, for the caller and for the audit log */
export async function sendBatch(
  items: readonly unknown[],
  requestId: string,
  caller: Caller,
  sender: MessageSender,
  settings: MessagesSettings,
): Promise<{ results: Result[]; audit: object[]; inFlight: number }> {
  const read = items.map((item) => toMessage(item, requestId, settings));
  const { outcomes, inFlight } = await sender.send(
    read.filter((one): one is NewMessage => !(one instanceof Problem)),
    caller,
  );
  let next = 0;
  const results: Result[] = [];
  const audit: object[] = [];
  for (const one of read) {
    const outcome = one instanceof Problem ? one : (outcomes[next++] ?? { kind: 'unreachable' as const });
    const about = one instanceof Problem ? {} : { client_id: one.clientId, directive: one.directive };
    if (!(outcome instanceof Problem) && outcome.kind === 'accepted') {
      results.push(accepted(outcome));
      audit.push({ ...about, outcome: 'done', status: 202, ...acceptedAudit(outcome) });
      continue;
    }
    const problem = outcome instanceof Problem ? outcome : refusal((one as NewMessage).clientId, outcome, settings);
    results.push(failed(problem));
    audit.push({ ...about, outcome: problem.kind, status: problem.status });
  }
  return { results, audit, inFlight };
}

/** Members of the audit line of an accepted message. */
export function acceptedAudit({ message, shard, replayed }: Accepted): Record<string, unknown> {
  const { messageId: message_id, directive, status: message_status } = message;
  return { message_id, directive, message_status, shard, replayed };
}

function toMessage(item: unknown, requestId: string, settings: MessagesSettings): NewMessage | Problem {
  // `readBatch` replaces an item by a problem if one of its members occurs twice.
  if (item instanceof Problem) return item;
  try {
    const data = readInput(BatchItem, item);
    return toNewMessage(data.client_id, data, { idempotencyKey: data.idempotency_key, requestId }, settings);
  } catch (problem) {
    if (problem instanceof Problem) return problem;
    throw problem;
  }
}

function accepted({ message, replayed }: Accepted): Result {
  return { status: 202, message: toAcceptedBody(message), ...(replayed && { replayed }) };
}

function failed({ status, body, more: { retryAfterSeconds } }: Problem): Result {
  return {
    status,
    problem: { ...body, ...(retryAfterSeconds !== undefined && { retry_after: retryAfterSeconds }) },
  };
}
