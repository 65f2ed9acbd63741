import { Link, type LinkProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import styles from './overview.module.css';

export interface TileProps {
  label: string;
  value: number;
  tone?: 'good' | 'bad' | 'neutral';
  /** Where the list behind the number is. */
  to: LinkProps;
  parts?: readonly (readonly [name: string, value: number])[];
}

/** One number, which leads to what it counts. */
export function Tile({ label, value, tone = 'neutral', to, parts = [] }: TileProps): ReactNode {
  return (
    <Link {...to} className={styles.tile}>
      <span className={styles.label}>{label}</span>
      <span className={`${styles.value} ${styles[tone]}`}>{value.toLocaleString()}</span>
      <span className={styles.parts}>
        {parts.map(([name, part]) => `${part.toLocaleString()} ${name}`).join(' · ')}
      </span>
    </Link>
  );
}
