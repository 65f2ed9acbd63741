import type { ReactNode } from 'react';
import type { StreamState } from '../api/use-events.js';
import { useOutage } from '../api/use-state-of-service.js';
import styles from './page-head.module.css';

export interface PageHeadProps {
  title: ReactNode;
  /** A line below the title. */
  about?: ReactNode;
  /** The event stream of the view, if it has one. */
  stream?: StreamState;
  actions?: ReactNode;
}

export function PageHead({ title, about, stream = 'off', actions }: PageHeadProps): ReactNode {
  // A stream stays open while the service cannot read its events.
  const isBlind = useOutage() !== undefined;
  return (
    <header className={styles.head}>
      <div className={styles.titles}>
        <h1>{title}</h1>
        {about !== undefined && <p className={styles.about}>{about}</p>}
      </div>
      <div className={styles.side}>
        {stream !== 'off' && <Live state={isBlind ? 'lost' : stream} />}
        {actions}
      </div>
    </header>
  );
}

const WORDS = {
  live: 'Live',
  connecting: 'Connecting …',
  lost: 'Not live: connecting again …',
};

function Live({ state }: { state: Exclude<StreamState, 'off'> }): ReactNode {
  return (
    <span role="status" className={`${styles.stream} ${styles[state]}`}>
      {WORDS[state]}
    </span>
  );
}
