/** Whether each part works, the last sweep, and the dead letters. */
import { ProblemError, type Cluster } from '@cloud-connector/client';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { Badge } from '../../ui/badge.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import { Trouble } from '../../ui/trouble.js';
import { correctionsText } from '../cluster/corrections.js';
import { healthOf } from './part-health.js';
import styles from './overview.module.css';

/** Mailboxes and the memory of Redis change without an event. */
const REFRESH_MS = 5000;

export function Health(): ReactNode {
  const { connector } = useAccess();
  const { data, error } = useQuery({
    queryKey: ['cluster'],
    queryFn: ({ signal }) => connector.getCluster({ signal }),
    refetchInterval: REFRESH_MS,
  });
  return (
    <div className={styles.panels}>
      <Panel title="Health" actions={<Link to="/cluster">Cluster</Link>}>
        {error !== null && <Trouble error={error} />}
        {data !== undefined && (
          <ul className={styles.lights}>
            {healthOf(data).map(({ name, level, state, details }) => (
              <li key={name}>
                <strong>{name}</strong>
                <Badge tone={level}>{state}</Badge>
                <span>{details}</span>
              </li>
            ))}
          </ul>
        )}
      </Panel>
      <LastSweep />
      <Panel title="Dead letters" actions={<Link to="/dead-letters">Read them</Link>}>
        {data !== undefined && <DeadLetterCount cluster={data} />}
      </Panel>
    </div>
  );
}

function DeadLetterCount({ cluster: { dead_letters: kept } }: { cluster: Cluster }): ReactNode {
  if (kept === 0) return <p>None: every message of a client was understood.</p>;
  return <p>{kept.toLocaleString()} are kept.</p>;
}

function LastSweep(): ReactNode {
  const { connector } = useAccess();
  const { data, error } = useQuery({
    queryKey: ['sweep'],
    queryFn: ({ signal }) => connector.getLatestSweep({ signal }),
  });
  const isNone = error instanceof ProblemError && error.status === 404;
  return (
    <Panel title="Last sweep" actions={<Link to="/cluster">Sweeps</Link>}>
      {isNone && <p>There was none yet.</p>}
      {error !== null && !isNone && <Trouble error={error} />}
      {data !== undefined && (
        <p>
          <Time at={data.ended_at ?? data.started_at} both />: {data.read.toLocaleString()} read,{' '}
          {correctionsText(data)} corrected.
        </p>
      )}
    </Panel>
  );
}
