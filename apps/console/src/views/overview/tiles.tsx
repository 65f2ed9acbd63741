import type { Stats } from '@cloud-connector/client';
import { Link, type LinkProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { milliseconds } from '../../ui/time-text.js';
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
        details={`${online.host.toLocaleString()} hosts · ${online.proxy.toLocaleString()} proxies`}
      />
      <Tile
        label="Offline"
        value={offline.total.toLocaleString()}
        to={{ to: '/connections', search: { state: 'offline' } }}
        details={`${offline.host.toLocaleString()} hosts · ${offline.proxy.toLocaleString()} proxies`}
      />
      {messages !== null && (
        <Tile
          label="Messages that are not sent yet"
          value={(messages.unfinished ?? messages.in_flight ?? 0).toLocaleString()}
          details={
            messages.awaiting_answer === null
              ? `${messages.finished.toLocaleString()} finished and kept`
              : `${messages.awaiting_answer.toLocaleString()} sent ones await an answer`
          }
        />
      )}
      {waiting !== null && (
        <Tile
          label="Connections that wait for a dispatcher"
          value={waiting.connections_ready.toLocaleString()}
          tone={waiting.oldest_ready_ms > WAITS_LONG_MS ? 'bad' : 'neutral'}
          {...(waiting.connections_held > 0 && { to: { to: '/connections', search: { held: true } } as LinkProps })}
          details={`${waiting.connections_ready > 0 ? `the oldest for ${milliseconds(waiting.oldest_ready_ms)} · ` : ''}${waiting.connections_held.toLocaleString()} with held messages`}
        />
      )}
      {hour !== null && (
        <Tile
          label="From acceptance to the broker"
          value={hour.latency.p50_ms === null ? '–' : milliseconds(hour.latency.p50_ms)}
          details={
            hour.latency.p99_ms === null
              ? 'the last hour; half of the messages'
              : `half of them; 99 of 100 in ${milliseconds(hour.latency.p99_ms)}`
          }
        />
      )}
    </div>
  );
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
      <span className={styles.parts}>{details}</span>
    </>
  );
  if (to === undefined) return <div className={styles.tile}>{content}</div>;
  return (
    <Link {...to} className={styles.tile}>
      {content}
    </Link>
  );
}
