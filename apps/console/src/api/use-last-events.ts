import type { ConnectorEvent } from '@cloud-connector/client';
import type { QueryKey } from '@tanstack/react-query';
import { useState } from 'react';
import { useEvents, type EventsWanted, type StreamState } from './use-events.js';
import { useRefresh } from './use-refresh.js';

export interface LastEventsWanted extends Pick<EventsWanted, 'types' | 'clientId'> {
  /** How many events the page keeps. */
  kept: number;
  /** What each event makes old, and how often it is read again at most. */
  queryKeys: readonly QueryKey[];
  refreshMs: number;
}

/** The last events of a view, newest first. What they are about is read again. */
export function useLastEvents({ kept, queryKeys, refreshMs, ...wanted }: LastEventsWanted): {
  events: readonly ConnectorEvent[];
  stream: StreamState;
} {
  const [events, setEvents] = useState<readonly ConnectorEvent[]>([]);
  const refresh = useRefresh(queryKeys, refreshMs);
  const onEvent = (event: ConnectorEvent): void => {
    setEvents((before) => [event, ...before].slice(0, kept));
    refresh();
  };
  return { events, stream: useEvents({ ...wanted, onEvent }) };
}
