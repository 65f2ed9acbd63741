import type { ReactNode } from 'react';
import styles from './fields.module.css';
import { TextField } from './fields.js';
import { useRestingText } from './use-resting-text.js';

/** How long the text must rest before it counts. */
const REST_MS = 300;

export interface ClientFilterProps {
  value: string;
  onChange: (client: string | undefined) => void;
}

/** A whole client id. What the view renders in between, for example for events, does not delay it. */
export function ClientFilter({ value, onChange }: ClientFilterProps): ReactNode {
  const [text, setText] = useRestingText(value, onChange, REST_MS);
  return (
    <div className={styles.client}>
      <TextField
        label=""
        aria-label="Client"
        placeholder="Client id"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </div>
  );
}
