import type { ConnectorEvent } from '@cloud-connector/client';
import { useCallback, useEffect, useRef, useState } from 'react';
import { EMPTY_TAIL, resumed, withEvents, type Tail } from './tail.js';

export interface LiveTail extends Tail {
  paused: boolean;
  add: (event: ConnectorEvent) => void;
  pause: () => void;
  resume: () => void;
  clear: () => void;
}

/** Events that arrive together are drawn together, at most once a frame. */
export function useTail(): LiveTail {
  const [tail, setTail] = useState(EMPTY_TAIL);
  const [paused, setPaused] = useState(false);
  const arrived = useRef<ConnectorEvent[]>([]);
  const frame = useRef<number>(undefined);
  useEffect(
    () => () => {
      if (frame.current !== undefined) cancelAnimationFrame(frame.current);
    },
    [],
  );
  const add = useCallback(
    (event: ConnectorEvent) => {
      arrived.current.push(event);
      frame.current ??= requestAnimationFrame(() => {
        frame.current = undefined;
        const events = arrived.current;
        arrived.current = [];
        setTail((before) => withEvents(before, events, paused));
      });
    },
    [paused],
  );
  return {
    ...tail,
    paused,
    add,
    pause: () => setPaused(true),
    resume: () => {
      setPaused(false);
      setTail(resumed);
    },
    clear: useCallback(() => {
      arrived.current = [];
      setTail(EMPTY_TAIL);
    }, []),
  };
}
