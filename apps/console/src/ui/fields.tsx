import type { ComponentProps, ReactNode } from 'react';
import styles from './fields.module.css';

export function TextField({
  label,
  hint,
  ...rest
}: ComponentProps<'input'> & { label: string; hint?: string }): ReactNode {
  return (
    <label className={styles.field}>
      {label}
      <input className={styles.input} autoComplete="off" spellCheck={false} {...rest} />
      {hint !== undefined && <span className={styles.hint}>{hint}</span>}
    </label>
  );
}

export interface ChoiceProps {
  label: string;
  value: string;
  /** Value and text of each option; the value `''` stands for no filter. */
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
}

/** One of several values. The label is for screen readers in a bar of filters (`bare`). */
export function Choice({ label, value, options, onChange, bare = false }: ChoiceProps & { bare?: boolean }): ReactNode {
  return (
    <label className={bare ? styles.bare : styles.field}>
      <span className={bare ? 'unseen' : undefined}>{label}</span>
      <select className={styles.input} value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map(([each, text]) => (
          <option key={each} value={each}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Check({ label, ...rest }: ComponentProps<'input'> & { label: string }): ReactNode {
  return (
    <label className={styles.check}>
      <input type="checkbox" {...rest} />
      {label}
    </label>
  );
}

/** Filters of a view, in one line where there is room. */
export function FilterBar({ children }: { children: ReactNode }): ReactNode {
  return (
    <div role="search" className={styles.bar}>
      {children}
    </div>
  );
}
