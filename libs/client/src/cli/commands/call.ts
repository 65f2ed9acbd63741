/** The command `messages call`. */
import { CallError } from '../../errors.js';
import type { Progress } from '../../call.js';
import type { MessageStatus } from '../../message-end.js';
import { payloadOf } from '../args.js';
import type { Context } from '../context.js';
import { EXIT } from '../failures.js';
import { progressBar } from '../progress-bar.js';
import { LONGEST_RESPONSE_TIMEOUT_S, LONGEST_TTL_S } from '../values.js';

/** Statuses of a message that its client may still answer. */
const MAY_ANSWER: ReadonlySet<MessageStatus> = new Set(['queued', 'in_flight', 'sent', 'unanswered']);

export async function callClient({ connector, args, out }: Context): Promise<number> {
  const [clientId, directive] = [args.need(0), args.need(1)];
  const timeoutMs = (args.seconds('timeout', Math.min(LONGEST_TTL_S, LONGEST_RESPONSE_TIMEOUT_S)) ?? 30) * 1000;
  const showProgress = out.canRewrite
    ? ({ percent, details }: Progress): void => out.rewrite(progressBar(percent, details ?? '', out.noteColumns))
    : undefined;
  try {
    const what = { directive, ...payloadOf(args) };
    const idempotencyKey = args.text('idempotency-key');
    const payload = await connector.call(clientId, what, { timeoutMs, idempotencyKey, onProgress: showProgress });
    out.endRewrite();
    await out.object(payload ?? null);
    return EXIT.done;
  } catch (error) {
    out.endRewrite();
    if (!(error instanceof CallError)) throw error;
    if (out.structured) await out.object(error.callMessage);
    await out.note(error.message);
    const { message_id, status, answer } = error.callMessage;
    if (MAY_ANSWER.has(status) && !answer) await out.note(laterAnswer(message_id));
    return EXIT.failed;
  }
}

function laterAnswer(id: string): string {
  return `The client may still answer: cloud-connector messages get ${id}. A call waits longer with --timeout.`;
}
