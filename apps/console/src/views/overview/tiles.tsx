import type { Stats } from '@cloud-connector/client';
import { Link, type LinkProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { milliseconds } from '../../ui/time-text.js';
import { count } from '../cluster/members.js';
import styles from './overview.module.css';

/** The numbers of the moment; some lead to what they count. */
export function Tiles({ stats: { connections, messages, waiting, last_hour: hour } }: { stats: Stats }): ReactNode {
  const { online, offline } = connections;
  return (
    <div className={styles.tiles}>
      <Tile
        label="Online"
        value={online.total.toLocaleString()}
        tone="good"
        to={{ to: '/connections', search: { state: 'online' } }}
        details={kindsText(online)}
      />
      <Tile
        label="Offline"
        value={offline.total.toLocaleString()}
        to={{ to: '/connections', search: { state: 'offline' } }}
        details={kindsText(offline)}
      />
      {messages !== null && (
        <Tile
          label="Messages not sent yet"
          value={(messages.unfinished ?? messages.in_flight ?? 0).toLocaleString()}
          details={
            messages.awaiting_answer === null
              ? `${messages.finished.toLocaleString()} ended`
              : `${messages.awaiting_answer.toLocaleString()} sent, answer awaited`
          }
        />
      )}
      {waiting !== null && (
        <Tile
          label="Waiting for a dispatcher"
          value={waiting.connections_ready.toLocaleString()}
          tone={waiting.oldest_ready_ms > WAITS_LONG_MS ? 'bad' : 'neutral'}
          {...(waiting.connections_held > 0 && { to: { to: '/connections', search: { held: true } } as LinkProps })}
          details={waitingText(waiting)}
        />
      )}
      {hour !== null && (
        <Tile
          label="Time to the broker"
          value={hour.latency.p50_ms === null ? '–' : milliseconds(hour.latency.p50_ms)}
          details={hour.latency.p99_ms === null ? 'no message yet' : `median; p99 ${milliseconds(hour.latency.p99_ms)}`}
        />
      )}
    </div>
  );
}

function kindsText({ host, proxy }: Stats['connections']['online']): string {
  return `${count(host, 'host')} · ${proxy === 1 ? '1 proxy' : `${proxy.toLocaleString()} proxies`}`;
}

function waitingText({
  connections_ready: ready,
  oldest_ready_ms: oldestMs,
  connections_held: held,
}: NonNullable<Stats['waiting']>): string {
  const oldest = ready > 0 ? `the oldest for ${milliseconds(oldestMs)}; ` : '';
  return `${oldest}${count(held, 'connection')} with held messages`;
}

/** A message should not wait for a dispatcher that long. */
const WAITS_LONG_MS = 5000;

interface TileProps {
  label: string;
  value: string;
  details: string;
  tone?: 'good' | 'bad' | 'neutral';
  to?: LinkProps;
}

function Tile({ label, value, details, tone = 'neutral', to }: TileProps): ReactNode {
  const content = (
    <>
      <span className={styles.label}>{label}</span>
      <span className={`${styles.value} ${styles[tone]}`}>{value}</span>
      <span className={styles.details}>{details}</span>
    </>
  );
  if (to === undefined) return <div className={styles.tile}>{content}</div>;
  return (
    <Link {...to} className={styles.tile}>
      {content}
    </Link>
  );
}
