/** The event stream of a view. It ends with the view, and while the tab is hidden: browsers open only six connections a host. */
import type { CloudConnector, ConnectorEvent, EventType } from '@cloud-connector/client';
import { useEffect, useEffectEvent, useState } from 'react';
import { useAccess, type Scope } from './access.js';

/** `off`: the caller may not read events, or the view does not want them now. */
export type StreamState = 'off' | 'connecting' | 'live' | 'lost';

export interface EventsWanted {
  types: readonly EventType[];
  clientId?: string | undefined;
  /** Called for each event, `gap` included: after a gap, read again what is shown. */
  onEvent: (event: ConnectorEvent) => void;
  /** False: no stream is open, and the next one begins with new events. */
  enabled?: boolean;
}

const RETRY_MS = 3000;

export function useEvents({ types, clientId, onEvent, enabled = true }: EventsWanted): StreamState {
  const { connector, can } = useAccess();
  const isVisible = useVisibility();
  const [state, setState] = useState<StreamState>('connecting');
  const allowed = types.filter((type) => can(scopeOf(type))).join(',');
  const wanted = enabled && can('events:read') && allowed !== '';
  const deliver = useEffectEvent(onEvent);
  const [position] = useState(() => new Map<string, string>());
  const key = `${allowed} ${clientId ?? ''}`;

  useEffect(() => {
    if (!wanted) position.clear();
    if (!wanted || !isVisible) return;
    const end = new AbortController();
    const options = {
      types: allowed.split(',') as EventType[],
      clientId,
      signal: end.signal,
      lastEventId: position.get(key),
      onOpen: (open: boolean) => setState(open ? 'live' : 'lost'),
    };
    void follow(connector, options, (event) => {
      position.set(key, event.id);
      deliver(event);
    });
    return () => {
      end.abort();
      setState('connecting');
    };
  }, [wanted, isVisible, connector, allowed, clientId, key, position]);

  return wanted ? state : 'off';
}

/** What a caller needs for events of a type, besides `events:read`. */
export function scopeOf(type: EventType): Scope {
  if (type === 'client.message') return 'messages:read';
  return /^(member|dead_letter)\./.test(type) ? 'cluster:read' : 'events:read';
}

type FollowOptions = NonNullable<Parameters<CloudConnector['events']>[0]> & { signal: AbortSignal };

/** A stream whose first connection failed is opened again after a while: the service may be starting. */
async function follow(
  connector: CloudConnector,
  options: FollowOptions,
  deliver: (event: ConnectorEvent) => void,
): Promise<void> {
  const { signal, onOpen } = options;
  const isEnded = (): boolean => signal.aborted;
  while (!isEnded()) {
    try {
      for await (const event of connector.events(options)) {
        if (isEnded()) return;
        options.lastEventId = event.id;
        deliver(event);
      }
    } catch (error) {
      if (isEnded()) return;
      onOpen?.(false);
      console.warn('The event stream cannot be opened.', error);
      // A position may be of another installation, after the service was set up again.
      options.lastEventId = undefined;
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
