/** The commands `connections` and `disconnect`. */
import type { ConnectionsQuery } from '../cloud-connector.js';
import type { Connection } from '../generated/types.gen.js';
import type { ParsedArgs } from './command-line.js';
import { shown, type Context } from './context.js';
import { EXIT, UsageError } from './failures.js';

const FACTS = [
  ...(['insights_id', 'machine_id', 'bios_uuid', 'subscription_manager_id'] as const),
  ...(['fqdn', 'ip_address', 'mac_address'] as const),
] as const;
const OFFLINE_REASONS = [
  ...(['goodbye', 'retained-offline', 'handshake-removed', 'invalid-handshake'] as const),
  ...(['refused', 'unknown', 'unconfirmed'] as const),
] as const;
/** How many rows a table has without --limit. */
export const ROWS = 100;

export async function connections({ connector, args, out }: Context): Promise<number> {
  const clientId = args.argument(0);
  if (clientId !== undefined) {
    const connection = await connector.getConnection(clientId);
    if (out.json) await out.object(connection);
    else
      await out.table(
        ['member', 'value'],
        Object.entries(connection).map(([name, value]) => [name, shown(value)]),
      );
    return EXIT.done;
  }
  const limit = args.count('limit') ?? (out.json ? Infinity : ROWS);
  const [state, type] = [args.oneOf('state', ['online', 'offline']), args.oneOf('type', ['host', 'proxy'])];
  const prefix = args.text('prefix');
  const reason = args.oneOf('offline-reason', OFFLINE_REASONS);
  const query: ConnectionsQuery = {
    ...(state && { state }),
    ...(type && { type }),
    ...(prefix !== undefined && { client_id_prefix: prefix }),
    ...(reason && { offline_reason: reason }),
    ...(args.flag('held') && { held: 'true' }),
    ...(args.flag('refused') && { refused: 'true' }),
    ...facts(args),
    limit: Math.min(limit + 1, 1000),
  };
  const rows: Connection[] = [];
  let count = 0;
  for await (const connection of connector.connections(query)) {
    if (++count > limit) break;
    if (out.json) await out.object(connection);
    else rows.push(connection);
  }
  if (out.json) return EXIT.done;
  const head = ['CLIENT ID', 'TYPE', 'STATE', 'SINCE', 'HELD', 'NAME'];
  await out.table(head, rows.map(rowOf));
  if (count > limit) await out.note(`There are more: use --limit to see them, or --json to see all.`);
  return EXIT.done;
}

function rowOf(connection: Connection): string[] {
  const { client_id, type, state, held_messages: held, facts } = connection;
  const since = state === 'online' ? connection.connected_at : connection.disconnected_at;
  return [client_id, type, state, since ?? '', `${held}`, typeof facts['fqdn'] === 'string' ? facts['fqdn'] : ''];
}

/** The query of all --fact options. @throws UsageError, also for an unknown fact: ignoring it would list too much */
function facts(args: ParsedArgs): ConnectionsQuery {
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

export async function disconnect({ connector, args, out }: Context): Promise<number> {
  const clientId = args.need(0, 'CLIENT_ID');
  const after = args.text('reconnect-after');
  if ((after === undefined) !== args.flag('lift')) throw new UsageError('give either --reconnect-after or --lift');
  if (after === undefined) {
    await connector.liftRefusal(clientId);
    if (out.json) await out.object({ client_id: clientId, lifted: true });
    else await out.lines([`${clientId} may connect again`]);
    return EXIT.done;
  }
  // A gateway of version 0.1.0 answers without a body.
  const until = (await connector.forceDisconnect(clientId, after))?.refused_until;
  if (out.json)
    await out.object({ client_id: clientId, reconnect_after: after, ...(until != null && { refused_until: until }) });
  else await out.lines([`${clientId} is asked to disconnect${until == null ? '' : `; refused until: ${until}`}`]);
  return EXIT.done;
}
