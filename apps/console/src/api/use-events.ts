/** The event stream of a view. It ends with the view, and while the tab is hidden: browsers open only six connections a host. */
import {
  EventPosition,
  ProblemError,
  type CloudConnector,
  type ConnectorEvent,
  type EventType,
} from '@cloud-connector/client';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useEffectEvent, useState } from 'react';
import { useAccess } from './access.js';
import { scopeOf } from './event-types.js';

/** `off`: the caller may not read events, or the view does not want them now. */
export type StreamState = 'off' | 'connecting' | 'live' | 'lost';

export interface EventsWanted {
  types: readonly EventType[];
  clientId?: string | undefined;
  /** Called for each event, `gap` included: after a gap, read again what is shown. */
  onEvent: (event: ConnectorEvent) => void;
  /** The first stream begins with the events of the last hour. Without it, only new events come. */
  history?: boolean;
  /** False: no stream is open, and the next one begins with new events. */
  enabled?: boolean;
}

const RETRY_MS = 3000;
const HISTORY_MS = 3_600_000;

export function useEvents({ types, clientId, onEvent, history = false, enabled = true }: EventsWanted): StreamState {
  const { connector, can } = useAccess();
  const isVisible = useVisibility();
  const [state, setState] = useState<StreamState>('connecting');
  const allowed = types.filter((type) => can(scopeOf(type))).join(',');
  const wanted = enabled && can('events:read') && allowed !== '';
  const deliver = useEffectEvent(onEvent);
  const queries = useQueryClient();
  /** Of the present filter. */
  const [positions] = useState(() => new Map<string, EventPosition>());
  const key = `${allowed} ${clientId ?? ''}`;

  useEffect(() => {
    if (!wanted) positions.clear();
    if (!wanted || !isVisible) return;
    const end = new AbortController();
    const begin = (): EventPosition => {
      const position = new EventPosition();
      positions.clear();
      positions.set(key, position);
      return position;
    };
    const options = {
      types: allowed.split(',') as EventType[],
      clientId,
      signal: end.signal,
      ...(history && { since: new Date(Date.now() - HISTORY_MS) }),
      position: positions.get(key) ?? begin(),
      onOpen: (open: boolean) => setState(open ? 'live' : 'lost'),
    };
    const beginAgain = (): void => {
      options.position = begin();
      void queries.invalidateQueries();
    };
    // Before the first event, a gap says only that the log does not reach so far back.
    let begun = !history || options.position.lastEventId !== undefined;
    const onNext = (event: ConnectorEvent): void => {
      begun ||= event.type !== 'gap';
      if (begun) deliver(event);
    };
    void follow(connector, options, onNext, beginAgain);
    return () => {
      end.abort();
      setState('connecting');
    };
  }, [wanted, isVisible, connector, allowed, clientId, history, key, positions, queries]);

  return wanted ? state : 'off';
}

type FollowOptions = NonNullable<Parameters<CloudConnector['events']>[0]> & { signal: AbortSignal };

/** A stream whose first connection failed is opened again after a while: the service may be starting. */
async function follow(
  connector: CloudConnector,
  options: FollowOptions,
  deliver: (event: ConnectorEvent) => void,
  beginAgain: () => void,
): Promise<void> {
  const { signal, onOpen } = options;
  const isEnded = (): boolean => signal.aborted;
  while (!isEnded()) {
    try {
      for await (const event of connector.events(options)) {
        if (isEnded()) return;
        deliver(event);
      }
    } catch (error) {
      if (isEnded()) return;
      onOpen?.(false);
      console.warn('The event stream cannot be opened.', error);
      // The position is of another installation if the service was set up again; so is what is shown.
      if (error instanceof ProblemError && error.status === 400) beginAgain();
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function useVisibility(): boolean {
  const [isVisible, setVisible] = useState(document.visibilityState === 'visible');
  useEffect(() => {
    const update = (): void => setVisible(document.visibilityState === 'visible');
    document.addEventListener('visibilitychange', update);
    return () => document.removeEventListener('visibilitychange', update);
  }, []);
  return isVisible;
}
