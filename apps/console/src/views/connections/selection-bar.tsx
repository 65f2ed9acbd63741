import { useState, type ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { acts, type Act } from '../../api/acts.js';
import { Button } from '../../ui/button.js';
import { MessageFields, toMessage, useMessageForm } from '../../ui/message-fields.js';
import { RECONNECT_AFTER, ReconnectAfter } from '../../ui/reconnect-after.js';
import styles from './connections.module.css';
import { ManyDialog } from './many-dialog.js';

export interface SelectionBarProps {
  clientIds: readonly string[];
  onClear: () => void;
}

/** What to do with the selected connections. */
export function SelectionBar({ clientIds, onClear }: SelectionBarProps): ReactNode {
  const { can } = useAccess();
  const [open, setOpen] = useState<'send' | 'forceOff' | 'verify'>();
  const [reconnectAfter, setReconnectAfter] = useState(RECONNECT_AFTER);
  const [form, setForm] = useMessageForm();
  const many = `${clientIds.length} ${clientIds.length === 1 ? 'connection' : 'connections'}`;
  const close = (): void => setOpen(undefined);
  const forAll = (make: (clientId: string) => Act) => clientIds.map((name) => ({ name, act: make(name) }));
  const message = toMessage(form);

  return (
    <div role="toolbar" aria-label="Selected connections" className={styles.selection}>
      <span className={styles.count}>{many} selected</span>
      {can('messages:write') && (
        <Button small onClick={() => setOpen('send')}>
          Send …
        </Button>
      )}
      {can('connections:manage') && (
        <>
          <Button small onClick={() => setOpen('verify')}>
            Verify …
          </Button>
          <Button small tone="bad" onClick={() => setOpen('forceOff')}>
            Force off …
          </Button>
        </>
      )}
      <Button small tone="quiet" onClick={onClear}>
        Clear
      </Button>

      {open === 'send' && (
        <ManyDialog
          title={`Send a message to ${many}?`}
          label={`Send to ${clientIds.length}`}
          acts={message === undefined ? undefined : forAll((id) => acts.send(id, message))}
          onClose={close}
        >
          <MessageFields form={form} onChange={setForm} responseHint="Seconds. Empty: no answer is awaited." />
        </ManyDialog>
      )}
      {open === 'verify' && (
        <ManyDialog
          title={`Verify ${many}?`}
          label={`Verify ${clientIds.length}`}
          acts={forAll(acts.verify)}
          onClose={close}
        >
          <p>The broker is read for each of them, and the registry is corrected if it differs.</p>
        </ManyDialog>
      )}
      {open === 'forceOff' && (
        <ManyDialog
          title={`Force off ${many}?`}
          label={`Force off ${clientIds.length}`}
          tone="bad"
          acts={forAll((id) => acts.forceOff(id, reconnectAfter))}
          onClose={close}
        >
          <p>Each client is asked to disconnect, and to stay away for this time. If it comes earlier, it is refused.</p>
          <ReconnectAfter value={reconnectAfter} onChange={setReconnectAfter} />
        </ManyDialog>
      )}
    </div>
  );
}
