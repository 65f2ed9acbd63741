import type { Connection, Verification } from '@cloud-connector/client';
import { useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { acts } from '../../api/acts.js';
import { ActButton } from '../../ui/act-button.js';
import { RECONNECT_AFTER, ReconnectAfter } from '../../ui/reconnect-after.js';
import { clockTime } from '../../ui/time-text.js';
import styles from './connection.module.css';

/** What a manager can do with a connection; others see nothing here. */
export function Actions({ connection }: { connection: Connection }): ReactNode {
  const { can } = useAccess();
  const navigate = useNavigate();
  const [reconnectAfter, setReconnectAfter] = useState(RECONNECT_AFTER);
  const { client_id: id, state, refused_until: refused } = connection;
  if (!can('connections:manage')) return null;
  return (
    <div className={styles.actions}>
      <ActButton<Verification> label="Verify" title={`Verify ${id}`} act={acts.verify(id)} result={outcomeOf}>
        <p>Reads what the broker retains for this client, and corrects the registry if it differs.</p>
      </ActButton>
      {refused !== null && (
        <ActButton label="Lift the refusal" title={`Accept handshakes of ${id} again?`} act={acts.lift(id)}>
          <p>
            Its handshakes are refused {refused === 'never' ? 'for ever' : `until ${clockTime(refused)}`}. After this
            they are accepted. It was asked to stay away that long, and is not asked to come sooner: it may come when it
            likes.
          </p>
        </ActButton>
      )}
      <ActButton label="Force off" tone="bad" title={`Force off ${id}?`} act={acts.forceOff(id, reconnectAfter)}>
        <p>The client is asked to disconnect, and to stay away for this time. If it comes earlier, it is refused.</p>
        <ReconnectAfter value={reconnectAfter} onChange={setReconnectAfter} />
      </ActButton>
      {state === 'offline' && (
        <ActButton
          label="Forget"
          tone="bad"
          title={`Forget ${id}?`}
          act={acts.forget(id)}
          onDone={() => void navigate({ to: '/connections' })}
        >
          <p>Its record goes, and its messages that wait are cancelled. If it shakes hands again, it is new.</p>
        </ActButton>
      )}
    </div>
  );
}

function outcomeOf({ outcome, state }: Verification): ReactNode {
  const words = {
    agreed: 'The registry had what the broker retains.',
    corrected: 'The registry has been corrected.',
    unproven:
      'Nothing was found, and this broker cannot prove that it retains nothing: the connection stays as it was.',
  };
  return (
    <p role="status">
      <strong>{state}</strong>. {words[outcome]}
    </p>
  );
}
