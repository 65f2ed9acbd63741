import { ProblemError } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import styles from './trouble.module.css';

/** What went wrong with a request, and whether it is tried again. `page`: nothing else is shown. */
export function Trouble({ error, page = false }: { error: Error; page?: boolean }): ReactNode {
  const [title, detail] = textOf(error);
  return (
    <div role="alert" className={page ? `${styles.trouble} ${styles.page}` : styles.trouble}>
      <strong>{title}</strong>
      <p>{detail}</p>
      {error instanceof ProblemError && error.requestId && (
        <p className={styles.id}>
          Request <code>{error.requestId}</code>
        </p>
      )}
    </div>
  );
}

export function textOf(error: Error): [title: string, detail: string] {
  if (error instanceof ProblemError) return [error.problem.title, error.detail];
  if (error.name === 'UnreachableError') return ['The gateway cannot be reached', 'This page tries again by itself.'];
  return ['This failed', error.message];
}
