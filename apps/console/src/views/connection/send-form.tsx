import type { AcceptedMessage } from '@cloud-connector/client';
import { useRef, useState, type SyntheticEvent, type ReactNode } from 'react';
import { acts } from '../../api/acts.js';
import { newKey } from '../../api/new-key.js';
import { useAct } from '../../api/use-act.js';
import { Button } from '../../ui/button.js';
import { CurlPopover } from '../../ui/curl.js';
import { MessageFields, toMessage, useMessageForm } from '../../ui/message-fields.js';
import { Failure } from '../../ui/failure.js';
import styles from './connection.module.css';

/** How long a call waits for its answer, unless the form says so. */
const CALL_SECONDS = 30;

export interface SendFormProps {
  clientId: string;
  /** Called without an id when a new one is sent: what is shown of the one before is old. */
  onSent: (messageId: string | undefined) => void;
}

/** `Call` sends a message whose answer is awaited; `Send` one that needs none. */
export function SendForm({ clientId, onSent }: SendFormProps): ReactNode {
  const [form, setForm] = useMessageForm();
  const [calls, setCalls] = useState(true);
  const { mutate, isPending, error } = useAct<AcceptedMessage>();
  const timeout = calls && form.responseTimeout.trim() === '' ? `${CALL_SECONDS}` : form.responseTimeout;
  const message = toMessage({ ...form, responseTimeout: timeout });
  const act = message && acts.send(clientId, message);
  // A repeat of what failed has the same key, so it is not accepted twice.
  const failed = useRef<{ text: string; key: string }>(undefined);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!message) return;
    const text = JSON.stringify(message);
    const key = failed.current?.text === text ? failed.current.key : newKey();
    failed.current = { text, key };
    onSent(undefined);
    mutate(acts.send(clientId, message, key), {
      onSuccess: ({ message_id: id }) => {
        failed.current = undefined;
        onSent(id);
      },
    });
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <MessageFields
        form={form}
        onChange={setForm}
        responseHint={`Seconds. Empty: ${CALL_SECONDS} for a call, no answer for a send.`}
      />
      <div className={styles.submit}>
        <Button
          type="submit"
          tone="accent"
          focusableWhenDisabled
          disabled={isPending || act === undefined}
          onClick={() => setCalls(true)}
        >
          {isPending && calls ? 'Calling …' : 'Call'}
        </Button>
        <Button
          type="submit"
          focusableWhenDisabled
          disabled={isPending || act === undefined}
          onClick={() => setCalls(false)}
        >
          {isPending && !calls ? 'Sending …' : 'Send'}
        </Button>
        {act && <CurlPopover act={act} />}
      </div>
      {error !== null && (
        <Failure
          error={error}
          advice="It is not known whether the message was accepted. Press the button again: it is not accepted twice."
        />
      )}
    </form>
  );
}
