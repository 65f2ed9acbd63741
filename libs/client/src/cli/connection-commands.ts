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
  const query = { ...(state && { state }), ...(type && { type }), ...fact(given), limit: Math.min(most + 1, 1000) };
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

function fact(given: Given): ConnectionsQuery {
  const asked = given.text('fact');
  if (asked === undefined) return {};
  const [, name, value = ''] = /^(\w+)=(.+)$/s.exec(asked) ?? [];
  const found = FACTS.find((one) => one === name);
  if (found === undefined) throw new UsageError(`--fact must be NAME=VALUE, with a NAME of ${FACTS.join(', ')}`);
  return { [found]: value };
}

export async function disconnect({ connector, given, out }: Context): Promise<number> {
  const clientId = given.need(0, 'CLIENT_ID');
  const after = given.text('reconnect-after');
  if ((after === undefined) !== given.flag('lift')) throw new UsageError('give either --reconnect-after or --lift');
  if (after === undefined) await connector.liftRefusal(clientId);
  else await connector.forceDisconnect(clientId, after);
  if (out.json)
    await out.object({ client_id: clientId, ...(after === undefined ? { lifted: true } : { reconnect_after: after }) });
  else
    await out.lines([
      `${clientId} ${after === undefined ? 'may connect again' : `is told to leave; refused until: ${after}`}`,
    ]);
  return EXIT.done;
}
