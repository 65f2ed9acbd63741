/** The commands `send` and `watch`. */
import type { CloudConnector } from '../cloud-connector.js';
import type { ConnectorEvent, EventsOptions, EventType } from '../events.js';
import type { Message } from '../generated/types.gen.js';
import { hasEnded } from '../message-end.js';
import { payloadOf } from './command-line.js';
import { shown, type Context } from './context.js';
import { EXIT, UsageError } from './failures.js';
import type { Output } from './output.js';

export async function send({ connector, args, out }: Context): Promise<number> {
  const [clientId, directive] = [args.need(0, 'CLIENT_ID'), args.need(1, 'DIRECTIVE')];
  const responseTimeout = args.count('response-timeout');
  const [ttl, whenOffline] = [args.count('ttl'), args.oneOf('when-offline', ['hold', 'reject'])];
  const timeout = args.count('timeout');
  if (timeout !== undefined && !args.flag('wait')) throw new UsageError('--timeout says how long to --wait');
  const message = {
    ...{ directive, ...payloadOf(args) },
    ...(ttl !== undefined && { ttl_seconds: ttl }),
    ...(responseTimeout !== undefined && { response_timeout_seconds: responseTimeout }),
    ...(whenOffline && { when_offline: whenOffline }),
  };
  const accepted = await connector.sendMessage(clientId, message, { idempotencyKey: args.text('idempotency-key') });
  if (!args.flag('wait')) {
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
  if (!hasEnded(message))
    await out.note(`It did not end within ${timeout ?? 0} s. The service keeps trying until the message expires.`);
  return status === 'sent' || status === 'answered' ? EXIT.done : EXIT.failed;
}

export async function watch({ connector, args, out, interrupted }: Context): Promise<number> {
  const options = {
    types: args.text('types')?.split(',') as EventType[] | undefined,
    ...{ clientId: args.text('client-id'), ...beginOf(args.text('since')), signal: interrupted },
  };
  for await (const event of connector.events(options)) {
    if (out.json) await out.object(event);
    else await out.lines([lineOf(event)]);
  }
  return EXIT.done;
}

/** An id of an event begins with a letter, and a time with the digits of its year. */
function beginOf(since: string | undefined): Pick<EventsOptions, 'lastEventId' | 'since'> {
  return since !== undefined && /^\d/.test(since) ? { since } : { lastEventId: since };
}

function lineOf(event: ConnectorEvent): string {
  const { at, type, shard } = event;
  const { client_id: clientId, ...rest } = event as Readonly<Record<string, unknown>>;
  const more = Object.entries(rest).filter(([name]) => !['id', 'at', 'type', 'shard'].includes(name));
  const what = more.map(([name, value]) => `${name}=${shown(value)}`);
  return [at, type.padEnd(18), clientId === undefined ? `shard ${shard}` : shown(clientId), ...what].join('  ');
}
