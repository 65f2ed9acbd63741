import type { ReactNode } from 'react';
import styles from './panel.module.css';

export interface PanelProps {
  title?: string;
  /** Beside the title. */
  actions?: ReactNode;
  children: ReactNode;
  /** A list or a table goes from edge to edge. */
  flush?: boolean;
}

export function Panel({ title, actions, children, flush = false }: PanelProps): ReactNode {
  return (
    <section className={styles.panel}>
      {title !== undefined && (
        <header className={styles.head}>
          <h2>{title}</h2>
          {actions}
        </header>
      )}
      <div className={flush ? undefined : styles.body}>{children}</div>
    </section>
  );
}
