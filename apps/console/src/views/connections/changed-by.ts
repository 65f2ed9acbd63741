import type { Connection, ConnectionPage, ConnectorEvent } from '@cloud-connector/client';

/** The page after some events, by their client and in their order; the same object if they are about nobody on it. */
export function changedBy(
  page: ConnectionPage,
  events: ReadonlyMap<string, readonly ConnectorEvent[]>,
): ConnectionPage {
  if (!page.data.some(({ client_id: id }) => events.has(id))) return page;
  return { ...page, data: page.data.map((row) => (events.get(row.client_id) ?? []).reduce(afterEvent, row)) };
}

/** Events by their client. Other events than changes of the state are left out. */
export function byClient(events: readonly ConnectorEvent[]): Map<string, ConnectorEvent[]> {
  const found = new Map<string, ConnectorEvent[]>();
  for (const event of events) {
    if (event.type !== 'connection.online' && event.type !== 'connection.offline') continue;
    const { client_id: id } = event;
    const before = found.get(id);
    if (before === undefined) found.set(id, [event]);
    else before.push(event);
  }
  return found;
}

function afterEvent(row: Connection, event: ConnectorEvent): Connection {
  if (event.type !== 'connection.online' && event.type !== 'connection.offline') return row;
  const at = event.changed_at ?? event.at;
  return event.type === 'connection.online'
    ? { ...row, state: 'online', connected_at: at, disconnected_at: null, offline_reason: null }
    : { ...row, state: 'offline', disconnected_at: at, offline_reason: event.reason };
}
