/** Whether each part works, the last sweep, and the dead letters. */
import { ProblemError, type Cluster } from '@cloud-connector/client';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useCluster, useFailure, useOutage } from '../../api/use-state-of-service.js';
import { Badge } from '../../ui/badge.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import { correctionsText } from '../cluster/corrections.js';
import { healthOf } from '../../api/part-health.js';
import styles from './overview.module.css';

export function Health(): ReactNode {
  const { data, ...query } = useCluster();
  const failure = useFailure(query, data);
  const isKnown = useOutage() === undefined;
  return (
    <Panel title="Health" actions={<Link to="/cluster">Cluster</Link>}>
      {failure !== null && <Failure error={failure} />}
      {data !== undefined && (
        <ul className={styles.parts}>
          {healthOf(data).map(({ name, level, state, details }) => (
            <li key={name}>
              <h3>{name}</h3>
              <Badge tone={isKnown ? level : 'neutral'}>{isKnown ? state : 'not known'}</Badge>
              {isKnown && <p>{details}</p>}
            </li>
          ))}
          <LastSweep />
          <DeadLetters cluster={data} />
        </ul>
      )}
    </Panel>
  );
}

function DeadLetters({ cluster: { dead_letters: kept } }: { cluster: Cluster }): ReactNode {
  return (
    <li>
      <h3>
        <Link to="/dead-letters">Dead letters</Link>
      </h3>
      <Badge tone={kept === 0 ? 'good' : 'warn'}>{kept === 0 ? 'none' : `${kept.toLocaleString()} kept`}</Badge>
    </li>
  );
}

function LastSweep(): ReactNode {
  const { connector } = useAccess();
  const { data, error } = useQuery({
    queryKey: ['sweep'],
    queryFn: ({ signal }) => connector.getLatestSweep({ signal }),
  });
  const isNone = error instanceof ProblemError && error.status === 404;
  return (
    <li>
      <h3>Last sweep</h3>
      {isNone && <Badge tone="neutral">none yet</Badge>}
      {data !== undefined && (
        <>
          <Badge tone={data.complete === false ? 'warn' : 'good'}>{`${correctionsText(data)} corrected`}</Badge>
          <p>
            <Time at={data.ended_at ?? data.started_at} />
          </p>
        </>
      )}
    </li>
  );
}
