import type { Connection } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Time } from '../../ui/time.js';
import styles from './connection.module.css';

/** Why a client is offline, in words, and what to do. */
const REASONS: Record<NonNullable<Connection['offline_reason']>, string> = {
  goodbye: 'It disconnected, or it lost its network and the broker published its last will.',
  'retained-offline': 'The broker retains that it is offline; when it went was not seen.',
  'handshake-removed': 'Its retained handshake was removed from the broker.',
  'invalid-handshake': 'Its last handshake is not valid; the dead letters say why.',
  refused: 'It was forced off, and its handshakes are refused for now.',
  unknown: 'A sweep found no handshake of it at the broker.',
  unconfirmed: 'It was online before the broker lost its data, and has not shaken hands since.',
};

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
