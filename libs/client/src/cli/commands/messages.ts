/** The commands `messages list`, `get`, `wait` and `cancel`. */
import type { Message } from '../../generated/types.gen.js';
import type { Context } from '../context.js';
import { EXIT } from '../failures.js';
import { list, type ListView } from '../list.js';
import type { Output } from '../output.js';
import { styleOf } from '../colour.js';
import { timeOf } from '../since.js';
import type { Cell, Column } from '../table.js';
import { MESSAGE_STATUSES } from '../values.js';
import { LONGEST_TIMEOUT_S, waitForMessage } from './send.js';

/** The longest that the service waits for a message in one request. */
const LONGEST_WAIT_S = 60;

export const MESSAGE_COLUMNS: readonly Column[] = [
  { head: 'MESSAGE ID', whole: true },
  { head: 'CLIENT ID', whole: true },
  ...['DIRECTIVE', 'STATUS', 'CREATED'].map((head) => ({ head })),
];

export function messageRow(message: Message, out: Output): Cell[] {
  const { message_id: id, client_id: clientId, directive, status, created_at: created } = message;
  return [id, clientId, directive, { text: status, style: styleOf(status) }, out.time(created)];
}

export function listMessages(context: Context): Promise<number> {
  const { connector, args } = context;
  const [status, clientId] = [args.oneOf('status', MESSAGE_STATUSES), args.text('client-id')];
  const since = timeOf(args.text('since'));
  const query = {
    ...(status && { status }),
    ...(clientId !== undefined && { client_id: clientId }),
    ...(since !== undefined && { since }),
  };
  const view: ListView<Message> = {
    columns: MESSAGE_COLUMNS,
    row: messageRow,
    id: ({ message_id: id }) => id,
    newestBy: ({ created_at: at }) => at,
    page: (paging) => connector.searchMessages({ ...query, ...paging }),
    watched: { types: ['message.status'], clientId },
  };
  return list(context, view);
}

export async function getMessage({ connector, args, out }: Context): Promise<number> {
  const wait = args.seconds('wait', LONGEST_WAIT_S);
  const options = wait === undefined ? {} : { prefer: `wait=${wait}`, timeoutMs: (wait + LONGEST_WAIT_S) * 1000 };
  await out.describe(await connector.readMessage(args.need(0), options));
  return EXIT.done;
}

export function waitForEnd({ connector, args, out }: Context): Promise<number> {
  return waitForMessage(args.need(0), args.seconds('timeout', LONGEST_TIMEOUT_S), connector, out);
}

export async function cancelMessages({ connector, args, out }: Context): Promise<number> {
  for (const id of args.arguments) {
    await connector.cancelMessage(id);
    await out.result({ message_id: id, cancelled: true }, `${id} is cancelled`);
  }
  return EXIT.done;
}
