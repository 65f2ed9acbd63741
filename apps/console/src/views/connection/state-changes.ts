import type { Connection, ConnectorEvent } from '@cloud-connector/client';

export interface StateChange {
  state: Connection['state'];
  at: string;
  /** Why it went offline, as the API names it. */
  reason: string | null;
}

/** A record and the event of the same change may differ by that. */
const SAME_MS = 1000;

/** The changes of a connection, newest first: those that its record knows, and those of the events. */
export function stateChanges(connection: Connection, events: readonly ConnectorEvent[]): StateChange[] {
  const earlier = events.flatMap((event): StateChange[] => {
    if (event.type === 'connection.online')
      return [{ state: 'online', at: event.changed_at ?? event.at, reason: null }];
    if (event.type !== 'connection.offline') return [];
    return [{ state: 'offline', at: event.changed_at ?? event.at, reason: event.reason }];
  });
  const known = changesOf(connection).filter(
    ({ state, at }) => !earlier.some((each) => each.state === state && near(at, each.at)),
  );
  return [...known, ...earlier].toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at));
}

function changesOf({
  state,
  connected_at: up,
  disconnected_at: down,
  offline_reason: reason,
}: Connection): StateChange[] {
  const online: StateChange[] = [{ state: 'online', at: up, reason: null }];
  return state === 'online' || down === null ? online : [{ state, at: down, reason }, ...online];
}

function near(one: string, other: string): boolean {
  return Math.abs(Date.parse(one) - Date.parse(other)) < SAME_MS;
}
