import type { AcceptedMessage } from '@cloud-connector/client';
import { useState, type SyntheticEvent, type ReactNode } from 'react';
import { acts } from '../../api/acts.js';
import { useAct } from '../../api/use-act.js';
import { Button } from '../../ui/button.js';
import { CurlPopover } from '../../ui/curl.js';
import { MessageFields, toMessage, useMessageForm } from '../../ui/message-fields.js';
import { Trouble } from '../../ui/trouble.js';
import styles from './connection.module.css';

/** How long a call waits for its answer, unless the form says so. */
const CALL_SECONDS = 30;

export interface SendFormProps {
  clientId: string;
  onSent: (messageId: string) => void;
}

/** `Call` sends a message whose answer is awaited; `Send` one that needs none. */
export function SendForm({ clientId, onSent }: SendFormProps): ReactNode {
  const [form, setForm] = useMessageForm();
  const [calls, setCalls] = useState(true);
  const { mutate, isPending, error } = useAct<AcceptedMessage>();
  const timeout = calls && form.responseTimeout.trim() === '' ? `${CALL_SECONDS}` : form.responseTimeout;
  const message = toMessage({ ...form, responseTimeout: timeout });
  const act = message && acts.send(clientId, message);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (act) mutate(act, { onSuccess: ({ message_id: id }) => onSent(id) });
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <MessageFields
        form={form}
        onChange={setForm}
        responseHint={`Seconds. Empty: ${CALL_SECONDS} for a call, no answer for a send.`}
      />
      <div className={styles.submit}>
        <Button type="submit" tone="accent" disabled={isPending || act === undefined} onClick={() => setCalls(true)}>
          Call
        </Button>
        <Button type="submit" disabled={isPending || act === undefined} onClick={() => setCalls(false)}>
          Send
        </Button>
        {act && <CurlPopover act={act} />}
      </div>
      {error !== null && <Trouble error={error} />}
    </form>
  );
}
