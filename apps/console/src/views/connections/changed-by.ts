import type { Connection, ConnectionPage, ConnectorEvent } from '@cloud-connector/client';

/** The page after an event; the same object if the event is about nobody on it. */
export function changedBy(page: ConnectionPage, event: ConnectorEvent): ConnectionPage {
  if (event.type !== 'connection.online' && event.type !== 'connection.offline') return page;
  const index = page.data.findIndex(({ client_id: id }) => id === event.client_id);
  const row = page.data[index];
  if (row === undefined) return page;
  const at = event.changed_at ?? event.at;
  const changed: Connection =
    event.type === 'connection.online'
      ? { ...row, state: 'online', connected_at: at, disconnected_at: null, offline_reason: null }
      : { ...row, state: 'offline', disconnected_at: at, offline_reason: event.reason as Connection['offline_reason'] };
  return { ...page, data: page.data.with(index, changed) };
}
