import type { Cluster } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Badge } from '../../ui/badge.js';
import { Panel } from '../../ui/panel.js';
import styles from './cluster.module.css';

/** The sessions at the broker, and who holds each. */
export function Lanes({ lanes }: { lanes: Cluster['lanes'] }): ReactNode {
  return (
    <Panel title="Lanes">
      <ul className={styles.app}>
        {lanes.map(({ lane, owner, epoch }) => (
          <li key={lane} title={epoch === null ? undefined : `epoch ${epoch}`}>
            <strong>Lane {lane}</strong>
            <Badge tone={owner === null ? 'bad' : 'good'}>{owner === null ? 'no owner' : 'owned'}</Badge>
            <span>{owner !== null && `by ${owner}`}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
