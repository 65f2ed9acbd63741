/** Sweeps: comparisons of the whole registry with the broker. */
import { ProblemError, type Sweep } from '@cloud-connector/client';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useAccess } from '../../api/access.js';
import { acts } from '../../api/acts.js';
import { ActButton } from '../../ui/act-button.js';
import { Badge } from '../../ui/badge.js';
import { Empty } from '../../ui/empty.js';
import { Facts } from '../../ui/facts.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import { Failure } from '../../ui/failure.js';
import { correctionsText } from './corrections.js';

/** The progress of a sweep has no events. */
const PROGRESS_MS = 1000;

export function Sweeps(): ReactNode {
  const { connector, can } = useAccess();
  const { data, error } = useQuery({
    queryKey: ['sweep'],
    queryFn: ({ signal }) => connector.getLatestSweep({ signal }),
    refetchInterval: ({ state }) => (state.data?.state === 'running' ? PROGRESS_MS : false),
  });
  const isNone = error instanceof ProblemError && error.status === 404;
  return (
    <Panel
      title="Last sweep"
      actions={
        can('cluster:manage') && (
          <ActButton
            disabled={data?.state === 'running'}
            label="Start a sweep"
            title="Compare the whole registry with the broker?"
            act={acts.startSweep()}
          >
            <p>
              It reads everything that the broker retains for clients, and corrects what differs. Nothing stops for it.
            </p>
          </ActButton>
        )
      }
    >
      {data === undefined && error === null && <Empty title="Loading …" />}
      {isNone && <Empty title="There was no sweep yet" />}
      {error !== null && !isNone && <Failure error={error} />}
      {data !== undefined && <OneSweep sweep={data} />}
    </Panel>
  );
}

const WHY: Readonly<Record<string, string>> = {
  start: 'an ingester began to read a lane',
  'session-lost': 'the broker had no session of a lane: it is new, or was lost',
  'broker-lost': 'a lane had lost its connection to the broker',
  'broker-restart': 'the broker restarted',
  dropped: 'the broker dropped messages',
  'key-space': 'Redis may have lost data',
  truncated: 'the sweep before could not read everything',
  interval: 'the interval has passed',
  request: 'somebody requested it',
} satisfies Record<Sweep['trigger'], string>;

function OneSweep({ sweep }: { sweep: Sweep }): ReactNode {
  const { state, complete, trigger, started_at: started, ended_at: ended, read, read_per_second: rate } = sweep;
  return (
    <Facts
      rows={[
        ['State', <SweepBadge key="state" state={state} complete={complete} reason={sweep.incomplete_reason} />],
        ['Why', WHY[trigger] ?? trigger],
        ['Started', <Time key="started" at={started} both />],
        ['Ended', <Time key="ended" at={ended} both />],
        ['Read', `${read.toLocaleString()} handshakes, ${Math.round(rate).toLocaleString()} a second`],
        ['Differed', sweep.differing.toLocaleString()],
        ['Corrected', correctionsText(sweep)],
      ]}
    />
  );
}

function SweepBadge({
  state,
  complete,
  reason,
}: {
  state: Sweep['state'];
  complete: boolean | null;
  reason: string | null;
}): ReactNode {
  if (state === 'running') return <Badge tone="accent">running</Badge>;
  if (complete === false) return <Badge tone="warn">not complete: {reason}</Badge>;
  return <Badge tone="good">complete</Badge>;
}
