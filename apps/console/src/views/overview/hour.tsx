/** The last hour, by minute. */
import type { LastHour } from '@cloud-connector/client';
import { useMemo, type ReactNode } from 'react';
import { Chart } from '../../ui/chart.js';
import { Panel } from '../../ui/panel.js';
import { milliseconds } from '../../ui/time-text.js';
import styles from './overview.module.css';

const sum = (values: readonly (number | null)[]): number =>
  values.reduce<number>((all, value) => all + (value ?? 0), 0);

export function Hour({ hour }: { hour: LastHour }): ReactNode {
  const { from, online, offline, messages, latency } = hour;
  const times = useMemo(() => online.map((_, minute) => Date.parse(from) / 1000 + minute * 60), [from, online]);
  const unhappy = messages.failed.map(
    (failed, minute) => failed + (messages.expired[minute] ?? 0) + (messages.unanswered[minute] ?? 0),
  );
  return (
    <div className={styles.panels}>
      <Panel title="Connections, last hour">
        <Chart
          label="Connections online and offline in the last hour, by minute"
          times={times}
          format={(value) => value.toLocaleString()}
          lines={[
            { label: 'online', colour: '--good', values: online },
            { label: 'offline', colour: '--ink-3', values: offline },
          ]}
        />
      </Panel>
      <Panel title="Messages, last hour">
        <Chart
          label="Messages by status in the last hour, by minute"
          times={times}
          format={(value) => value.toLocaleString()}
          summary={sum}
          lines={[
            { label: 'queued', colour: '--ink-3', values: messages.queued },
            { label: 'sent', colour: '--other', values: messages.sent },
            { label: 'answered', colour: '--good', values: messages.answered },
            { label: 'failed, expired, unanswered', colour: '--bad', values: unhappy },
          ]}
        />
      </Panel>
      <Panel title="Time from acceptance to the broker">
        <Chart
          label="Time from acceptance to the broker in the last hour, by minute"
          times={times}
          format={milliseconds}
          lines={[
            {
              label: 'median',
              colour: '--accent',
              values: latency.minutes.map(({ p50_ms: p50 }) => p50),
            },
            { label: 'p99', colour: '--warn', values: latency.minutes.map(({ p99_ms: p99 }) => p99) },
          ]}
        />
      </Panel>
    </div>
  );
}
