/** The command `messages`. */
import type { Message } from '../generated/types.gen.js';
import { ROWS } from './connection-commands.js';
import type { Context } from './context.js';
import { EXIT } from './failures.js';

const STATUSES = [
  ...(['queued', 'held', 'in_flight', 'sent', 'answered'] as const),
  ...(['failed', 'unanswered', 'expired', 'cancelled'] as const),
] as const;

export async function messages({ connector, args, out }: Context): Promise<number> {
  const limit = args.count('limit') ?? (out.json ? Infinity : ROWS);
  const [status, clientId, since] = [args.oneOf('status', STATUSES), args.text('client-id'), args.text('since')];
  const query = {
    ...(status && { status }),
    ...(clientId !== undefined && { client_id: clientId }),
    ...(since !== undefined && { since }),
    limit: Math.min(limit + 1, 1000),
  };
  const rows: Message[] = [];
  let count = 0;
  for await (const message of connector.messagesOfAll(query)) {
    if (++count > limit) break;
    if (out.json) await out.object(message);
    else rows.push(message);
  }
  if (out.json) return EXIT.done;
  await out.table(
    ['MESSAGE ID', 'CLIENT ID', 'DIRECTIVE', 'STATUS', 'CREATED'],
    rows.map((one) => [one.message_id, one.client_id, one.directive, one.status, one.created_at]),
  );
  if (count > limit) await out.note('There are more: use --limit to see them, or --json to see all.');
  return EXIT.done;
}
