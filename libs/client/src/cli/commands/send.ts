/** The commands `messages send` and `messages send-many`. */
import type { BatchResult, CloudConnector, MessageToSend } from '../../cloud-connector.js';
import type { Message } from '../../generated/types.gen.js';
import { hasEnded } from '../../message-end.js';
import { payloadOf, readText } from '../args.js';
import type { Context } from '../context.js';
import { refuseRoundedNumbers } from '../exact-numbers.js';
import { EXIT, UsageError } from '../failures.js';
import type { Output } from '../output.js';
import { styleOf } from '../colour.js';
import type { Cell } from '../table.js';
import { LONGEST_RESPONSE_TIMEOUT_S, LONGEST_TTL_S, WHEN_OFFLINE } from '../values.js';

/** Most messages of a request. */
const BATCH = 1000;
/** In whole days, the longest that a timer of Node runs: a longer one would end at once. */
export const LONGEST_TIMEOUT_S = 24 * 86_400;

export async function send({ connector, args, out }: Context): Promise<number> {
  const [clientId, directive] = [args.need(0), args.need(1)];
  const [ttl, responseTimeout] = [
    args.seconds('ttl', LONGEST_TTL_S),
    args.seconds('response-timeout', LONGEST_RESPONSE_TIMEOUT_S),
  ];
  const whenOffline = args.oneOf('when-offline', WHEN_OFFLINE);
  const timeout = args.seconds('timeout', LONGEST_TIMEOUT_S);
  if (timeout !== undefined && !args.flag('wait')) throw new UsageError('--timeout says how long to --wait');
  const message = {
    ...{ directive, ...payloadOf(args) },
    ...(ttl !== undefined && { ttl_seconds: ttl }),
    ...(responseTimeout !== undefined && { response_timeout_seconds: responseTimeout }),
    ...(whenOffline && { when_offline: whenOffline }),
  };
  const seen = { replayed: false };
  const accepted = await connector.sendMessage(clientId, message, {
    idempotencyKey: args.text('idempotency-key'),
    onHeaders: (headers) => (seen.replayed = headers.get('idempotency-replayed') === 'true'),
  });
  const { replayed } = seen;
  const repeat = replayed ? '; it was accepted before with this key, and is not sent twice' : '';
  const line = `${accepted.message_id} is ${accepted.status}${repeat}`;
  if (!args.flag('wait')) {
    await out.result({ ...accepted, ...(replayed && { replayed }) }, line);
    return EXIT.done;
  }
  if (!out.structured) await out.note(line);
  return waitForMessage(accepted.message_id, timeout, connector, out);
}

/** Waits until the message has ended. @param timeout seconds */
export async function waitForMessage(
  id: string,
  timeout: number | undefined,
  connector: CloudConnector,
  out: Output,
): Promise<number> {
  const limit = timeout === undefined ? undefined : AbortSignal.timeout(timeout * 1000);
  let message: Message;
  try {
    message = await connector.waitForMessage(id, { signal: limit });
  } catch (error) {
    if (limit?.aborted !== true) throw error;
    message = await connector.readMessage(id);
  }
  const { status, status_history: history } = message;
  const details = history.at(-1)?.details ?? '';
  await out.result(message, `${id} is ${status}${details === '' ? '' : `: ${details}`}`);
  if (!hasEnded(message))
    await out.note(`It did not end within ${timeout ?? 0} s. The service keeps trying until the message expires.`);
  return status === 'sent' || status === 'answered' ? EXIT.done : EXIT.failed;
}

export async function sendMany({ connector, args, out }: Context): Promise<number> {
  const file = args.need(0);
  const messages = messagesOf(readText(file === '-' ? 0 : file, 'the messages'));
  const results: BatchResult[] = [];
  for (let first = 0; first < messages.length; first += BATCH) {
    results.push(...(await connector.sendMessages(messages.slice(first, first + BATCH))));
  }
  if (out.structured) for (const result of results) await out.object(result);
  else {
    const columns = [
      { head: 'MESSAGE ID', whole: true as const },
      { head: 'CLIENT ID', whole: true as const },
    ];
    const rows = results.map((result, i) => resultRow(result, messages[i]?.client_id ?? ''));
    await out.table([...columns, { head: 'STATUS' }, { head: 'WHY' }], rows);
  }
  const refused = results.filter(({ message }) => message === undefined).length;
  if (refused > 0) await out.note(`${refused} of ${results.length} messages were refused.`);
  return refused > 0 ? EXIT.failed : EXIT.done;
}

function resultRow({ status, message, problem, replayed }: BatchResult, clientId: string): Cell[] {
  if (message !== undefined) {
    const { message_id: id, client_id: of, status: is } = message;
    return [id, of, { text: is, style: styleOf(is) }, replayed === true ? 'accepted before with this key' : ''];
  }
  return ['-', clientId, { text: 'refused', style: 'red' }, problem?.detail ?? String(status)];
}

/** An array of messages, an object with `messages`, or a message in each line. @throws UsageError */
function messagesOf(text: string): MessageToSend[] {
  const parsed = parseWhole(text) ?? parseLines(text);
  const messages = Array.isArray(parsed) ? parsed : ((parsed as { messages?: unknown }).messages ?? [parsed]);
  if (!Array.isArray(messages) || messages.length === 0 || !messages.every(isObject)) {
    throw new UsageError('the file must have an array of messages, or a message in each line');
  }
  // The service says what is wrong with a message.
  return messages as MessageToSend[];
}

/** @throws UsageError */
function parseWhole(text: string): object | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // It may have a message in each line.
    return undefined;
  }
  if (!isObject(value) && !Array.isArray(value)) return undefined;
  refuseRoundedNumbers(text, 'the file');
  return value;
}

/** @throws UsageError */
function parseLines(text: string): unknown[] {
  const lines = text.split('\n').map((line, i) => ({ line: line.trim(), number: i + 1 }));
  return lines
    .filter(({ line }) => line !== '')
    .map(({ line, number }) => {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (error) {
        throw new UsageError(`line ${number} is not JSON: ${(error as Error).message}`);
      }
      refuseRoundedNumbers(line, `line ${number}`);
      return value;
    });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
