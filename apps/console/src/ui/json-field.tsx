import { useId, type ReactNode } from 'react';
import styles from './fields.module.css';
import { parseJson } from './json.js';

export interface JsonFieldProps {
  label: string;
  text: string;
  onChange: (text: string) => void;
  rows?: number;
  placeholder?: string;
}

/** A text of JSON; a fault is shown below it, with its line and column. */
export function JsonField({ label, text, onChange, rows = 6, placeholder }: JsonFieldProps): ReactNode {
  const id = useId();
  const parsed = parseJson(text);
  const fault = 'fault' in parsed ? parsed.fault : undefined;
  return (
    <label className={styles.field}>
      {label}
      <textarea
        rows={rows}
        placeholder={placeholder}
        className={styles.code}
        spellCheck={false}
        value={text}
        aria-invalid={fault !== undefined}
        aria-describedby={id}
        onChange={(event) => onChange(event.target.value)}
      />
      <span id={id} role="status" className={styles.fault}>
        {fault}
      </span>
    </label>
  );
}

/** A value as JSON, indented. */
export function JsonView({ value, label }: { value: unknown; label: string }): ReactNode {
  return <CodeBlock label={label}>{JSON.stringify(value, null, 2)}</CodeBlock>;
}

/** A text that scrolls by itself if it is long. */
export function CodeBlock({ label, children }: { label: string; children: ReactNode }): ReactNode {
  return (
    <pre tabIndex={0} role="region" aria-label={label} className={styles.view}>
      {children}
    </pre>
  );
}
