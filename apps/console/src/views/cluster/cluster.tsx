/** The parts of the service: who runs, who owns what, and how sweeps go. */
import type { ReactNode } from 'react';
import { CLUSTER_EVENTS } from '../../api/event-types.js';
import { useLastEvents } from '../../api/use-last-events.js';
import { useCluster, useFailure } from '../../api/use-state-of-service.js';
import { CurlPopover } from '../../ui/curl.js';
import { Empty } from '../../ui/empty.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { Failure } from '../../ui/failure.js';
import { EventList } from '../events/event-list.js';
import { BrokerFacts } from './broker-facts.js';
import styles from './cluster.module.css';
import { Lanes } from './lanes.js';
import { Members } from './members.js';
import { RedisFacts } from './redis-facts.js';
import { ShardMap } from './shard-map.js';
import { Sweeps } from './sweeps.js';

const REREAD_MS = 500;
const KEPT_EVENTS = 50;

export function ClusterView(): ReactNode {
  const { data, ...query } = useCluster();
  const failure = useFailure(query, data);
  const { events, stream } = useLastEvents({
    types: CLUSTER_EVENTS,
    kept: KEPT_EVENTS,
    queryKeys: [['cluster'], ['sweep']],
    refreshMs: REREAD_MS,
  });
  return (
    <>
      <PageHead title="Cluster" stream={stream} actions={<CurlPopover act={{ method: 'GET', url: '/v1/cluster' }} />} />
      {failure !== null && <Failure error={failure} />}
      {data !== undefined && (
        <>
          <Members cluster={data} />
          <Panel title={`${data.shards.length} shards`}>
            <ShardMap cluster={data} />
          </Panel>
          <div className={styles.columns}>
            <Sweeps />
            <Lanes cluster={data} />
            <Panel title="Redis">
              <RedisFacts cluster={data} />
            </Panel>
            <Panel title="Broker">
              <BrokerFacts cluster={data} />
            </Panel>
          </div>
          <Panel title="Moves and sweeps, live" flush>
            {events.length === 0 ? <Empty title="Nothing since you opened this page" /> : <EventList events={events} />}
          </Panel>
        </>
      )}
    </>
  );
}
