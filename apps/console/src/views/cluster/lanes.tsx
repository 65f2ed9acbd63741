import type { Cluster } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { brokerReach } from '../../api/broker-reach.js';
import { Badge } from '../../ui/badge.js';
import { Panel } from '../../ui/panel.js';
import styles from './cluster.module.css';

/** The sessions at the broker, and who holds each. */
export function Lanes({ cluster }: { cluster: Cluster }): ReactNode {
  const { without } = brokerReach(cluster);
  return (
    <Panel title="Lanes">
      <ul className={styles.app}>
        {cluster.lanes.map(({ lane, owner, epoch }) => (
          <li key={lane} title={epoch === null ? undefined : `epoch ${epoch}`}>
            <strong>Lane {lane}</strong>
            <LaneState owner={owner} reachesBroker={owner === null || !without.includes(owner)} />
            <span>{owner !== null && `by ${owner}`}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** A lane whose owner does not reach the broker brings nothing. */
function LaneState({ owner, reachesBroker }: { owner: string | null; reachesBroker: boolean }): ReactNode {
  if (owner === null) return <Badge tone="bad">no owner</Badge>;
  return reachesBroker ? <Badge tone="good">owned</Badge> : <Badge tone="warn">broker not reached</Badge>;
}
