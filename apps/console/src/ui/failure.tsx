import { ProblemError } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { isOutage } from '../api/queries.js';
import styles from './failure.module.css';

export interface FailureProps {
  error: Error;
  /** Nothing else is shown. */
  page?: boolean;
  /** What to do now if the service could not be reached. It is not known then whether something was done. */
  advice?: string;
}

/** What went wrong with a request. */
export function Failure({ error, page = false, advice }: FailureProps): ReactNode {
  const [title, detail] = textOf(error);
  return (
    <div role="alert" className={page ? `${styles.failure} ${styles.page}` : styles.failure}>
      <strong>{title}</strong>
      {isOutage(error) && advice !== undefined ? <p>{advice}</p> : detail !== '' && <p>{detail}</p>}
      {error instanceof ProblemError && error.requestId && (
        <p className={styles.id}>
          Request <code>{error.requestId}</code>
        </p>
      )}
    </div>
  );
}

export function textOf(error: Error): [title: string, detail: string] {
  if (error instanceof ProblemError) return [error.problem.title, sentence(error.detail)];
  if (error.name === 'UnreachableError') return ['The gateway cannot be reached.', ''];
  return ['This failed.', sentence(error.message)];
}

/** With a capital letter and a full stop. */
function sentence(text: string): string {
  if (text === '') return '';
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}
