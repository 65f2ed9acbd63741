/** The system at a glance, live. */
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { useEvents } from '../../api/use-events.js';
import { useStats, useFailure } from '../../api/use-state-of-service.js';
import { useRefresh } from '../../api/use-refresh.js';
import { CurlPopover } from '../../ui/curl.js';
import { Empty } from '../../ui/empty.js';
import { PageHead } from '../../ui/page-head.js';
import { Panel } from '../../ui/panel.js';
import { Failure } from '../../ui/failure.js';
import { Health } from './health.js';
import { Hour } from './hour.js';
import styles from './overview.module.css';
import { Tiles } from './tiles.js';

const REREAD_MS = 1000;

export function Overview(): ReactNode {
  const { can, caller } = useAccess();
  const { data, ...query } = useStats();
  const failure = useFailure(query, data);
  const refresh = useRefresh([['stats'], ['cluster'], ['sweep']], REREAD_MS);
  const stream = useEvents({
    types: [
      ...(['connection.online', 'connection.offline', 'message.status'] as const),
      ...(['sweep.ended', 'member.joined', 'member.left', 'dead_letter.added'] as const),
    ],
    onEvent: refresh,
  });
  return (
    <>
      <PageHead
        title="Overview"
        stream={stream}
        about={caller.account === null ? undefined : `Account ${caller.account}`}
        actions={<CurlPopover act={{ method: 'GET', url: '/v1/stats' }} />}
      />
      {failure !== null && <Failure error={failure} />}
      {data !== undefined && <Tiles stats={data} />}
      {data?.connections.total === 0 && <Nobody />}
      {can('cluster:read') && <Health />}
      {data !== undefined && data.last_hour !== null && <Hour hour={data.last_hour} />}
      {data !== undefined && data.connections.total > 0 && can('messages:write') && (
        <p className={styles.hint}>
          Open one of the <Link to="/connections">connections</Link>, call it, and see its answer.
        </p>
      )}
    </>
  );
}

function Nobody(): ReactNode {
  return (
    <Panel>
      <Empty title="Nobody has connected yet">
        <p>
          Start a device: <code>node examples/device/device.mjs</code> shakes hands, answers calls, and appears here at
          once.
        </p>
      </Empty>
    </Panel>
  );
}
