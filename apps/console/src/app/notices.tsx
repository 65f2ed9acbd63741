/** What an operator must know in every view: that it is not up to date, or that a part of the service does not work. */
import type { ReactNode } from 'react';
import { useCluster, useOutage } from '../api/use-state-of-service.js';
import { Time } from '../ui/time.js';
import { textOf } from '../ui/failure.js';
import { faultsOf } from '../api/part-health.js';
import styles from './frame.module.css';

export function Notices(): ReactNode {
  const { data } = useCluster();
  const outage = useOutage();
  if (outage !== undefined) {
    const [title, detail] = textOf(outage.error);
    return (
      <div role="alert" className={styles.notice}>
        <strong>{title}</strong>
        <span>{detail}</span>
        <span>
          {outage.readAt === undefined ? (
            'Nothing could be read yet. '
          ) : (
            <>
              What you see was read <Time at={outage.readAt} both />.{' '}
            </>
          )}
          This page tries again by itself.
        </span>
      </div>
    );
  }
  const broken = data === undefined ? [] : faultsOf(data);
  if (broken.length === 0) return null;
  return (
    <div role="alert" className={styles.notice}>
      {broken.map(({ name, state, meaning }) => (
        <span key={name}>
          <strong>
            {name}: {state}.
          </strong>{' '}
          {meaning}
        </span>
      ))}
    </div>
  );
}
