/** A batch of messages: each is checked and answered on its own, and one that is wrong harms no other. */
import type { NewMessage } from '@app/registry';
import type { Caller } from '../access/caller.js';
import type { GatewaySettings } from '../gateway.settings.js';
import { Problem } from '../http/problem.js';
import { asProblem } from '../http/validation.js';
import type { MessageSender, SendOutcome } from './message-sender.js';
import { BatchItem, toAcceptedBody, type BatchResultBody } from './message.dto.js';
import { refusal, toNewMessage } from './outgoing.js';

type Result = BatchResultBody['results'][number];

/** Sends what can be sent. @returns what became of each item, in their order */
export async function sendBatch(
  items: readonly unknown[],
  requestId: string,
  caller: Caller,
  sender: MessageSender,
  settings: GatewaySettings,
): Promise<Result[]> {
  const read = items.map((item) => toMessage(item, requestId, settings));
  const outcomes = await sender.send(
    read.filter((one): one is NewMessage => !(one instanceof Problem)),
    caller,
  );
  let next = 0;
  return read.map((one) => {
    if (one instanceof Problem) return failed(one);
    return toResult(one, outcomes[next++] ?? { kind: 'unreachable' }, settings);
  });
}

function toMessage(item: unknown, requestId: string, settings: GatewaySettings): NewMessage | Problem {
  const { success, data, error } = BatchItem.safeParse(item);
  if (!success) return asProblem(error.issues);
  try {
    return toNewMessage(data.client_id, data, { idempotencyKey: data.idempotency_key, requestId }, settings);
  } catch (problem) {
    if (problem instanceof Problem) return problem;
    throw problem;
  }
}

function toResult({ clientId }: NewMessage, outcome: SendOutcome, settings: GatewaySettings): Result {
  if (outcome.kind !== 'accepted') return failed(refusal(clientId, outcome, settings));
  return { status: 202, message: toAcceptedBody(outcome.message) };
}

function failed({ status, body, more: { retryAfterSeconds } }: Problem): Result {
  return {
    status,
    problem: { ...body, ...(retryAfterSeconds !== undefined && { retry_after: retryAfterSeconds }) },
  };
}
