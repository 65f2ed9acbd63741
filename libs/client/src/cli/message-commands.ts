/** `send` and `watch`. */
import { isFinal, type CloudConnector } from '../cloud-connector.js';
import type { ConnectorEvent, EventType } from '../events.js';
import type { Message } from '../generated/types.gen.js';
import { read, type Given } from './command-line.js';
import { shown, type Context } from './context.js';
import { EXIT, UsageError } from './failures.js';
import type { Output } from './output.js';

export async function send({ connector, given, out }: Context): Promise<number> {
  const [clientId, directive] = [given.need(0, 'CLIENT_ID'), given.need(1, 'DIRECTIVE')];
  const [ttl, whenOffline] = [given.count('ttl'), given.oneOf('when-offline', ['hold', 'reject'])];
  const timeout = given.count('timeout');
  if (timeout !== undefined && !given.flag('wait')) throw new UsageError('--timeout says how long to --wait');
  const message = {
    ...{ directive, ...payloadOf(given) },
    ...(ttl !== undefined && { ttl_seconds: ttl }),
    ...(whenOffline && { when_offline: whenOffline }),
  };
  const accepted = await connector.sendMessage(clientId, message, { idempotencyKey: given.text('idempotency-key') });
  if (!given.flag('wait')) {
    if (out.json) await out.object(accepted);
    else await out.lines([`${accepted.message_id} is ${accepted.status}`]);
    return EXIT.done;
  }
  if (!out.json) await out.note(`${accepted.message_id} is ${accepted.status}`);
  return waitFor(accepted.message_id, timeout, connector, out);
}

async function waitFor(
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
  if (out.json) await out.object(message);
  else await out.lines([`${id} is ${status}${details === '' ? '' : `: ${details}`}`]);
  if (!isFinal(status))
    await out.note(`It did not end within ${timeout ?? 0} s, and goes on; its time to live decides.`);
  return status === 'sent' ? EXIT.done : EXIT.failed;
}

function payloadOf(given: Given): { payload?: unknown } {
  const [inline, file] = [given.text('payload'), given.text('payload-file')];
  if (inline !== undefined && file !== undefined) throw new UsageError('give --payload or --payload-file, not both');
  const json = inline ?? (file === undefined ? undefined : read(file === '-' ? 0 : file, 'the payload'));
  if (json === undefined) return {};
  try {
    return { payload: JSON.parse(json) as unknown };
  } catch (error) {
    throw new UsageError(`the payload is no JSON: ${(error as Error).message}; a text needs its quotes`);
  }
}

export async function watch({ connector, given, out, interrupted }: Context): Promise<number> {
  const options = {
    types: given.text('types')?.split(',') as EventType[] | undefined,
    ...{ clientId: given.text('client-id'), lastEventId: given.text('since'), signal: interrupted },
  };
  for await (const event of connector.events(options)) {
    if (out.json) await out.object(event);
    else await out.lines([lineOf(event)]);
  }
  return EXIT.done;
}

function lineOf(event: ConnectorEvent): string {
  const { at, type, shard } = event;
  const { client_id: clientId, ...rest } = event as Readonly<Record<string, unknown>>;
  const more = Object.entries(rest).filter(([name]) => !['id', 'at', 'type', 'shard'].includes(name));
  const what = more.map(([name, value]) => `${name}=${shown(value)}`);
  return [at, type.padEnd(18), clientId === undefined ? `shard ${shard}` : shown(clientId), ...what].join('  ');
}
