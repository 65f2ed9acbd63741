import type { ConnectorEvent, EventType } from '@cloud-connector/client';
import type { QueryKey } from '@tanstack/react-query';
import { useState } from 'react';
import { useEvents, type EventsWanted, type StreamState } from './use-events.js';
import { useRefresh } from './use-refresh.js';

export interface LastEventsWanted extends Pick<EventsWanted, 'types' | 'clientId' | 'history'> {
  /** How many events the page keeps; of the types `keptTypes` as many, though newer ones of other types came. */
  kept: number;
  keptTypes?: readonly EventType[];
  /** What each event makes old, and how often it is read again at most. */
  queryKeys: readonly QueryKey[];
  refreshMs: number;
}

/** The last events of a view, newest first. What they are about is read again. */
export function useLastEvents({ kept, keptTypes = [], queryKeys, refreshMs, ...wanted }: LastEventsWanted): {
  events: readonly ConnectorEvent[];
  stream: StreamState;
} {
  const [events, setEvents] = useState<readonly ConnectorEvent[]>([]);
  const refresh = useRefresh(queryKeys, refreshMs);
  const onEvent = (event: ConnectorEvent): void => {
    setEvents((before) => newest(event, before, kept, keptTypes));
    refresh();
  };
  return { events, stream: useEvents({ ...wanted, onEvent }) };
}

function newest(
  event: ConnectorEvent,
  before: readonly ConnectorEvent[],
  kept: number,
  keptTypes: readonly string[],
): readonly ConnectorEvent[] {
  const events = [event, ...before];
  if (events.length <= kept) return events;
  const old = events.slice(kept).filter(({ type }) => keptTypes.includes(type));
  return [...events.slice(0, kept), ...old.slice(0, kept)];
}
