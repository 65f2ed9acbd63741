import type { ReactNode } from 'react';
import styles from './empty.module.css';

/** An empty list: what it would show, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ReactNode }): ReactNode {
  return (
    <div className={styles.empty}>
      <p className={styles.title}>{title}</p>
      {children}
    </div>
  );
}
