import type { Cluster } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Badge, type BadgeTone } from '../../ui/badge.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import styles from './cluster.module.css';
import { shortBootId } from './short-boot-id.js';

interface Row {
  id: string;
  name: string;
  since: string | null;
  state: string;
  tone: BadgeTone;
  /** Why it does not work; undefined if it does, or does not say. */
  reason?: string | undefined;
  work: string;
}

/** All processes, by app. */
export function Members({ cluster }: { cluster: Cluster }): ReactNode {
  const { gateways, members, dispatchers } = cluster;
  return (
    <div className={styles.members}>
      <App
        title="Gateways"
        rows={gateways.map(({ id, name, since }) => ({ id, name, since, state: 'up', tone: 'good', work: '' }))}
      />
      <App
        title="Ingesters"
        rows={members.map(({ id, name, since, draining, fitness, reason, shards, lanes }) => ({
          id,
          name,
          since,
          state: draining ? 'stopping' : FITNESS[fitness].word,
          tone: draining ? 'neutral' : FITNESS[fitness].tone,
          reason: wordsOf(reason),
          work: `${count(shards, 'shard')}, ${count(lanes, 'lane')}`,
        }))}
      />
      <App
        title="Dispatchers"
        rows={dispatchers.map(({ id, name, since, takes_shards: works, reason, shards }) => ({
          id,
          name,
          since,
          state: works ? 'up' : 'not working',
          tone: works ? 'good' : 'warn',
          reason: wordsOf(reason),
          work: count(shards, 'busy shard'),
        }))}
      />
    </div>
  );
}

const FITNESS: Record<Cluster['members'][number]['fitness'], { word: string; tone: BadgeTone }> = {
  fit: { word: 'up', tone: 'good' },
  troubled: { word: 'degraded', tone: 'warn' },
  unfit: { word: 'cannot work', tone: 'bad' },
};

type Reason = NonNullable<Cluster['members'][number]['reason']>;

const REASON: Partial<Record<Reason, string>> = {
  'broker-unreachable': 'does not reach the broker',
  'redis-unreachable': 'does not reach a part of Redis',
  recovering: 'recovering from a failure',
  stopping: 'stopping',
};

/** A process of a newer release may have a reason that this page does not know. */
function wordsOf(reason: Reason | null): string | undefined {
  return reason === null ? undefined : (REASON[reason] ?? reason);
}

export function count(number: number, noun: string): string {
  return `${number.toLocaleString()} ${noun}${number === 1 ? '' : 's'}`;
}

function App({ title, rows }: { title: string; rows: readonly Row[] }): ReactNode {
  const names = rows.map(({ name }) => name);
  return (
    <Panel title={title}>
      {rows.length === 0 ? (
        <p className={styles.none}>None is running.</p>
      ) : (
        <ul className={styles.app}>
          {rows.map(({ id, name, since, state, tone, reason, work }) => (
            <li key={id} title={id}>
              <strong>{name}</strong>
              <BootId text={shortBootId(id, names)} />
              <Badge tone={tone}>{state}</Badge>
              <span>
                {reason !== undefined && `${reason} · `}
                {work !== '' && `${work} · `}
                {since !== null && (
                  <>
                    started <Time at={since} />
                  </>
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** Tells processes of one machine from each other. */
function BootId({ text }: { text: string | undefined }): ReactNode {
  return text === undefined ? null : <code>{text}</code>;
}
