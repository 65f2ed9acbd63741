/** The system at a glance, live. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useEvents } from '../../api/use-events.js';
import { useThrottled } from '../../api/use-throttled.js';
import { Empty } from '../../ui/empty.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { Trouble } from '../../ui/trouble.js';
import { Health } from './health.js';
import styles from './overview.module.css';
import { Tile } from './tile.js';

const REREAD_MS = 1000;

export function Overview(): ReactNode {
  const { connector, can, caller } = useAccess();
  const queries = useQueryClient();
  const { data, error, failureReason } = useQuery({
    queryKey: ['summary'],
    queryFn: ({ signal }) => connector.summarizeConnections({ signal }),
    enabled: can('connections:read'),
  });
  const reread = useThrottled(() => {
    for (const name of ['summary', 'cluster', 'sweep']) void queries.invalidateQueries({ queryKey: [name] });
  }, REREAD_MS);
  const stream = useEvents({
    types: [
      'connection.online',
      'connection.offline',
      'sweep.ended',
      'member.joined',
      'member.left',
      'dead_letter.added',
    ],
    onEvent: reread,
  });
  const trouble = error ?? failureReason;
  return (
    <>
      <PageHead
        title="Overview"
        stream={stream}
        about={caller.account === null ? undefined : `Account ${caller.account}`}
      />
      {trouble !== null && <Trouble error={trouble} />}
      {data !== undefined && (
        <div className={styles.tiles}>
          <Tile
            label="Online"
            value={data.online.total}
            tone="good"
            to={{ to: '/connections', search: { state: 'online' } }}
            parts={[
              ['hosts', data.online.host],
              ['proxies', data.online.proxy],
            ]}
          />
          <Tile
            label="Offline"
            value={data.offline.total}
            to={{ to: '/connections', search: { state: 'offline' } }}
            parts={[
              ['hosts', data.offline.host],
              ['proxies', data.offline.proxy],
            ]}
          />
        </div>
      )}
      {data?.total === 0 && (
        <Panel>
          <Empty title="Nobody has connected yet">
            <p>
              Start a device: <code>node examples/device/device.mjs</code> shakes hands, answers calls, and appears here
              at once.
            </p>
          </Empty>
        </Panel>
      )}
      {data !== undefined && data.total > 0 && can('messages:write') && (
        <Panel title="Try it">
          <p>
            Open one of the <Link to="/connections">connections</Link>, call it, and see its answer.
          </p>
        </Panel>
      )}
      {can('cluster:read') && <Health />}
    </>
  );
}
