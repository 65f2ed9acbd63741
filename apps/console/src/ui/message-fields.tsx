/** The fields of a message to send. */
import type { SendMessage } from '@cloud-connector/client';
import { useState, type Dispatch, type ReactNode, type SetStateAction } from 'react';
import { Check, TextField } from './fields.js';
import { JsonField } from './json-field.js';
import { parseJson } from './json.js';
import styles from './message-fields.module.css';

export interface MessageForm {
  directive: string;
  payload: string;
  /** Seconds; empty for the default. */
  ttl: string;
  /** Seconds; empty: no answer is awaited. */
  responseTimeout: string;
  hold: boolean;
}

export function useMessageForm(): [MessageForm, Dispatch<SetStateAction<MessageForm>>] {
  return useState<MessageForm>({ directive: 'demo:ping', payload: '', ttl: '', responseTimeout: '', hold: true });
}

/** Undefined as long as a field is not valid. */
export function toMessage({ directive, payload, ttl, responseTimeout, hold }: MessageForm): SendMessage | undefined {
  const parsed = parseJson(payload);
  const [ttlSeconds, timeoutSeconds] = [secondsOf(ttl), secondsOf(responseTimeout)];
  if (directive.trim() === '' || 'fault' in parsed || ttlSeconds === null || timeoutSeconds === null) return undefined;
  return {
    directive: directive.trim(),
    ...(parsed.value !== undefined && { payload: parsed.value }),
    ...(ttlSeconds !== undefined && { ttl_seconds: ttlSeconds }),
    ...(timeoutSeconds !== undefined && { response_timeout_seconds: timeoutSeconds }),
    ...(!hold && { when_offline: 'reject' as const }),
  };
}

/** null if it is no number of seconds. */
function secondsOf(text: string): number | undefined | null {
  if (text.trim() === '') return undefined;
  const seconds = Number(text);
  return Number.isInteger(seconds) && seconds > 0 ? seconds : null;
}

export interface MessageFieldsProps {
  form: MessageForm;
  onChange: Dispatch<SetStateAction<MessageForm>>;
  /** What an empty response timeout means. */
  responseHint: string;
}

export function MessageFields({ form, onChange, responseHint }: MessageFieldsProps): ReactNode {
  const set = (name: 'directive' | 'ttl' | 'responseTimeout') => (event: { target: { value: string } }) =>
    onChange((before) => ({ ...before, [name]: event.target.value }));
  return (
    <>
      <TextField label="Directive" required value={form.directive} onChange={set('directive')} />
      <JsonField
        label="Payload (JSON)"
        rows={4}
        placeholder={'{"hello": "device"}'}
        text={form.payload}
        onChange={(payload) => onChange((before) => ({ ...before, payload }))}
      />
      <div className={styles.row}>
        <TextField
          label="Time to live"
          hint="Seconds. Empty: the default."
          inputMode="numeric"
          value={form.ttl}
          onChange={set('ttl')}
        />
        <TextField
          label="Response timeout"
          hint={responseHint}
          inputMode="numeric"
          value={form.responseTimeout}
          onChange={set('responseTimeout')}
        />
      </div>
      <Check
        label="Hold it while the client is offline"
        checked={form.hold}
        onChange={({ target }) => onChange((before) => ({ ...before, hold: target.checked }))}
      />
    </>
  );
}
