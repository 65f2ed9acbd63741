/** `connections` and `disconnect`. */
import type { ConnectionsQuery } from '../cloud-connector.js';
import type { Connection } from '../generated/types.gen.js';
import type { Given } from './command-line.js';
import { shown, type Context } from './context.js';
import { EXIT, UsageError } from './failures.js';

const FACTS = [
  ...(['insights_id', 'machine_id', 'bios_uuid', 'subscription_manager_id'] as const),
  ...(['fqdn', 'ip_address', 'mac_address'] as const),
] as const;
/** Rows of a table, unless more are asked for. */
export const ROWS = 100;

export async function connections({ connector, given, out }: Context): Promise<number> {
  const clientId = given.argument(0);
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
  const most = given.count('limit') ?? (out.json ? Infinity : ROWS);
  const [state, type] = [given.oneOf('state', ['online', 'offline']), given.oneOf('type', ['host', 'proxy'])];
  const query = { ...(state && { state }), ...(type && { type }), ...facts(given), limit: Math.min(most + 1, 1000) };
  const rows: Connection[] = [];
  let count = 0;
  for await (const connection of connector.connections(query)) {
    if (++count > most) break;
    if (out.json) await out.object(connection);
    else rows.push(connection);
  }
  if (out.json) return EXIT.done;
  const head = ['CLIENT ID', 'TYPE', 'STATE', 'SINCE', 'HELD', 'NAME'];
  await out.table(head, rows.map(rowOf));
  if (count > most) await out.note(`There are more: ask for them with --limit, or --json for all.`);
  return EXIT.done;
}

function rowOf(connection: Connection): string[] {
  const { client_id, type, state, held_messages: held, facts } = connection;
  const since = state === 'online' ? connection.connected_at : connection.disconnected_at;
  return [client_id, type, state, since ?? '', `${held}`, typeof facts['fqdn'] === 'string' ? facts['fqdn'] : ''];
}

/** All facts that are asked for: to leave one out would find more than is wanted. @throws UsageError */
function facts(given: Given): ConnectionsQuery {
  const query: ConnectionsQuery = {};
  for (const asked of given.texts('fact')) {
    const [, name, value = ''] = /^(\w+)=(.+)$/s.exec(asked) ?? [];
    const found = FACTS.find((one) => one === name);
    if (found === undefined) throw new UsageError(`--fact must be NAME=VALUE, with a NAME of ${FACTS.join(', ')}`);
    if (query[found] !== undefined) throw new UsageError(`--fact ${found} is given twice`);
    query[found] = value;
  }
  return query;
}

export async function disconnect({ connector, given, out }: Context): Promise<number> {
  const clientId = given.need(0, 'CLIENT_ID');
  const after = given.text('reconnect-after');
  if ((after === undefined) !== given.flag('lift')) throw new UsageError('give either --reconnect-after or --lift');
  if (after === undefined) {
    await connector.liftRefusal(clientId);
    if (out.json) await out.object({ client_id: clientId, lifted: true });
    else await out.lines([`${clientId} may connect again`]);
    return EXIT.done;
  }
  // A gateway of 0.1.0 answers without a body.
  const until = (await connector.forceDisconnect(clientId, after))?.refused_until;
  if (out.json)
    await out.object({ client_id: clientId, reconnect_after: after, ...(until != null && { refused_until: until }) });
  else await out.lines([`${clientId} is told to leave${until == null ? '' : `; refused until: ${until}`}`]);
  return EXIT.done;
}
