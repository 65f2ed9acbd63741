import type { Connection, Verification } from '@cloud-connector/client';
import { useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { acts } from '../../api/acts.js';
import { ActButton } from '../../ui/act-button.js';
import { TextField } from '../../ui/fields.js';
import styles from './connection.module.css';

/** What a manager can do with a connection; others see nothing here. */
export function Actions({ connection }: { connection: Connection }): ReactNode {
  const { can } = useAccess();
  const navigate = useNavigate();
  const [reconnectAfter, setReconnectAfter] = useState('PT5M');
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
            Its handshakes are refused {refused === 'never' ? 'for ever' : `until ${refused}`}. After this it may come
            back at once.
          </p>
        </ActButton>
      )}
      <ActButton label="Force off" tone="bad" title={`Force off ${id}?`} act={acts.forceOff(id, reconnectAfter)}>
        <p>The client is asked to disconnect, and its handshakes are refused until then.</p>
        <TextField
          label="Back after"
          hint="A duration such as PT30S, a timestamp, or never."
          value={reconnectAfter}
          onChange={(event) => setReconnectAfter(event.target.value)}
        />
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
