import type { Connection, ConnectorEvent } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Time } from '../../ui/time.js';
import { REASONS } from '../offline-reasons.js';
import styles from './connection.module.css';
import { stateChanges, type StateChange } from './state-changes.js';

/** It said goodbye, but because it was asked to. */
const FORCED_OFF = 'It was forced off, and disconnected as it was asked to.';
const SHOWN = 12;

/** The last changes of a connection, newest first. `events`: those of the last hour, and those that came since. */
export function Timeline({
  connection,
  events,
}: {
  connection: Connection;
  events: readonly ConnectorEvent[];
}): ReactNode {
  const { refused_until: refused } = connection;
  const changes = stateChanges(connection, events);
  return (
    <ol className={styles.timeline} aria-label="Changes">
      {refused !== null && (
        <li>
          <strong>Refused</strong>
          {connection.state === 'online' && <p>It was asked to disconnect, and is still connected.</p>}
          <p>{refused === 'never' ? 'Until somebody lifts it.' : <Until at={refused} />}</p>
        </li>
      )}
      {changes.slice(0, SHOWN).map((change, index) => (
        <Change key={`${change.at} ${change.state}`} change={change} wasForced={index === 0 && refused !== null} />
      ))}
      {changes.length > SHOWN && <li>and {changes.length - SHOWN} earlier ones in the last hour</li>}
    </ol>
  );
}

function Change({ change: { state, at, reason }, wasForced }: { change: StateChange; wasForced: boolean }): ReactNode {
  return (
    <li>
      <strong>
        {state === 'online' ? 'Online' : 'Offline'}, <Time at={at} both />
      </strong>
      {state === 'online' && <p>It registered with a handshake.</p>}
      {reason !== null && (
        <p>
          {wasForced && reason === 'goodbye' ? FORCED_OFF : wordsOf(reason)} (<code>{reason}</code>)
        </p>
      )}
    </li>
  );
}

/** A newer service may know more reasons than this page. */
function wordsOf(reason: string): string {
  return (REASONS as Partial<Record<string, string>>)[reason] ?? '';
}

function Until({ at }: { at: string }): ReactNode {
  return (
    <>
      Its handshakes are accepted again <Time at={at} both />.
    </>
  );
}
