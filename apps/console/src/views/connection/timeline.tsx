import type { Connection } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Time } from '../../ui/time.js';
import { REASONS } from '../offline-reasons.js';
import styles from './connection.module.css';

/** It said goodbye, but because it was asked to. */
const FORCED_OFF = 'It was forced off, and disconnected as it was asked to.';

/** The last changes of a connection, newest first. */
export function Timeline({ connection }: { connection: Connection }): ReactNode {
  const { state, connected_at: up, disconnected_at: down, offline_reason: reason, refused_until: refused } = connection;
  return (
    <ol className={styles.timeline}>
      {refused !== null && (
        <li>
          <strong>Refused</strong>
          <p>{refused === 'never' ? 'Until somebody lifts it.' : <Until at={refused} />}</p>
        </li>
      )}
      {state === 'offline' && (
        <li>
          <strong>
            Offline, <Time at={down} both />
          </strong>
          {reason !== null && (
            <p>
              {refused !== null && reason === 'goodbye' ? FORCED_OFF : REASONS[reason]} (<code>{reason}</code>)
            </p>
          )}
        </li>
      )}
      <li>
        <strong>
          Online, <Time at={up} both />
        </strong>
        <p>It registered with a handshake.</p>
      </li>
    </ol>
  );
}

function Until({ at }: { at: string }): ReactNode {
  return (
    <>
      Its handshakes are accepted again <Time at={at} both />.
    </>
  );
}
