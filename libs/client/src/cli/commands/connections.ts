/** The commands `connections …`. */
import type { ConnectionsQuery } from '../../cloud-connector.js';
import type { Connection, Message } from '../../generated/types.gen.js';
import type { Args } from '../args.js';
import type { Context } from '../context.js';
import { secondsOf } from '../durations.js';
import { EXIT, UsageError } from '../failures.js';
import { list, type ListView } from '../list.js';
import type { Output } from '../output.js';
import { styleOf } from '../colour.js';
import type { Cell } from '../table.js';
import { CONNECTION_STATES, CONNECTION_TYPES, FACTS, MESSAGE_STATUSES, OFFLINE_REASONS } from '../values.js';
import { MESSAGE_COLUMNS, messageRow } from './messages.js';

export function listConnections(context: Context): Promise<number> {
  const { connector, args } = context;
  const query = queryOf(args);
  const view: ListView<Connection> = {
    columns: [
      { head: 'CLIENT ID', whole: true },
      ...['TYPE', 'STATE', 'SINCE', 'HELD', 'NAME'].map((head) => ({ head })),
    ],
    row: rowOf,
    id: ({ client_id: id }) => id,
    page: (paging) => connector.listConnections({ ...query, ...paging }),
    watched: {
      types: [
        ...(['connection.online', 'connection.updated', 'connection.offline'] as const),
        ...(args.flag('held') ? (['message.status'] as const) : []),
      ],
    },
  };
  return list(context, view);
}

function queryOf(args: Args): ConnectionsQuery {
  const [state, type] = [args.oneOf('state', CONNECTION_STATES), args.oneOf('type', CONNECTION_TYPES)];
  const [prefix, reason] = [args.text('prefix'), args.oneOf('offline-reason', OFFLINE_REASONS)];
  return {
    ...(state && { state }),
    ...(type && { type }),
    ...(prefix !== undefined && { client_id_prefix: prefix }),
    ...(reason && { offline_reason: reason }),
    ...(args.flag('held') && { held: 'true' }),
    ...(args.flag('refused') && { refused: 'true' }),
    ...facts(args),
  };
}

function rowOf(connection: Connection, out: Output): Cell[] {
  const { client_id, type, state, held_messages: held, facts } = connection;
  const since = state === 'online' ? connection.connected_at : connection.disconnected_at;
  const name = typeof facts['fqdn'] === 'string' ? facts['fqdn'] : '';
  return [client_id, type, { text: state, style: styleOf(state) }, out.time(since), `${held}`, name];
}

/** The query of all --fact options. @throws UsageError, also for an unknown fact: ignoring it would list too much */
function facts(args: Args): ConnectionsQuery {
  const query: ConnectionsQuery = {};
  for (const option of args.texts('fact')) {
    const [, name, value = ''] = /^(\w+)=(.+)$/s.exec(option) ?? [];
    const found = FACTS.find((one) => one === name);
    if (found === undefined) throw new UsageError(`--fact must be NAME=VALUE, with a NAME of ${FACTS.join(', ')}`);
    if (query[found] !== undefined) throw new UsageError(`--fact ${found} is given twice`);
    query[found] = value;
  }
  return query;
}

export async function getConnection({ connector, args, out }: Context): Promise<number> {
  await out.describe(await connector.getConnection(args.need(0)));
  return EXIT.done;
}

/** `connections` of 0.1.0: one connection, or those that match. */
export function connections(context: Context): Promise<number> {
  return context.args.argument(0) === undefined ? listConnections(context) : getConnection(context);
}

export function messagesOfConnection(context: Context): Promise<number> {
  const { connector, args } = context;
  const clientId = args.need(0);
  const status = args.oneOf('status', MESSAGE_STATUSES);
  const view: ListView<Message> = {
    columns: MESSAGE_COLUMNS,
    row: messageRow,
    id: ({ message_id: id }) => id,
    newestBy: ({ created_at: at }) => at,
    page: (paging) => connector.listMessages(clientId, { ...(status && { status }), ...paging }),
    watched: { types: ['message.status'], clientId },
  };
  return list(context, view);
}

export async function summarizeConnections({ connector, out }: Context): Promise<number> {
  const summary = await connector.summarizeConnections();
  if (out.structured) await out.object(summary);
  else {
    const { online, offline } = summary;
    const total = { host: online.host + offline.host, proxy: online.proxy + offline.proxy, total: summary.total };
    const rows = Object.entries({ online, offline, total }).map(([name, { host, proxy, total: all }]): Cell[] => [
      { text: name, style: styleOf(name) },
      ...[host, proxy, all].map(String),
    ]);
    await out.table([{ head: 'STATE' }, { head: 'HOSTS' }, { head: 'PROXIES' }, { head: 'TOTAL' }], rows);
  }
  return EXIT.done;
}

export async function verifyConnection({ connector, args, out }: Context): Promise<number> {
  await out.describe(await connector.verifyConnection(args.need(0)));
  return EXIT.done;
}

export async function forgetConnection({ connector, args, out }: Context): Promise<number> {
  const clientId = args.need(0);
  await connector.forgetConnection(clientId);
  await out.result({ client_id: clientId, forgotten: true }, `${clientId} is forgotten`);
  return EXIT.done;
}

export async function liftRefusal({ connector, args, out }: Context): Promise<number> {
  const clientId = args.need(0);
  await connector.liftRefusal(clientId);
  await out.result(
    { client_id: clientId, lifted: true },
    `${clientId} may connect again. If it was sent away for long, it tries only at the end of its own wait (an hour after "never")`,
  );
  return EXIT.done;
}

export async function forceDisconnect({ connector, args, out }: Context): Promise<number> {
  const clientId = args.need(0);
  const after = reconnectAfter(args.text('reconnect-after') ?? '');
  // A gateway of version 0.1.0 answers without a body.
  const until = (await connector.forceDisconnect(clientId, after))?.refused_until;
  await out.result(
    { client_id: clientId, reconnect_after: after, ...(until != null && { refused_until: until }) },
    `${clientId} is asked to disconnect${until == null ? '' : `; refused until: ${until}`}`,
  );
  return EXIT.done;
}

/** `30s` as the service takes it. It says itself what is wrong with a timestamp. */
function reconnectAfter(text: string): string {
  const seconds = /^\d/.test(text) ? secondsOf(text) : undefined;
  return seconds === undefined ? text : `PT${seconds}S`;
}

/** `disconnect` of 0.1.0. */
export function disconnect(context: Context): Promise<number> {
  const { args } = context;
  const isLifted = args.flag('lift');
  if ((args.text('reconnect-after') === undefined) !== isLifted) {
    throw new UsageError('give either --reconnect-after or --lift');
  }
  return isLifted ? liftRefusal(context) : forceDisconnect(context);
}
