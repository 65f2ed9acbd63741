import type { Cluster } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Badge, type BadgeTone } from '../../ui/badge.js';
import { Panel } from '../../ui/panel.js';
import { Time } from '../../ui/time.js';
import styles from './cluster.module.css';

interface Row {
  id: string;
  name: string;
  since: string | null;
  state: string;
  tone: BadgeTone;
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
        rows={members.map(({ id, name, since, draining, fitness, shards, lanes }) => ({
          id,
          name,
          since,
          state: draining ? 'stopping' : FITNESS[fitness].word,
          tone: draining ? 'neutral' : FITNESS[fitness].tone,
          work: `${count(shards, 'shard')}, ${count(lanes, 'lane')}`,
        }))}
      />
      <App
        title="Dispatchers"
        rows={dispatchers.map(({ id, name, since, takes_shards: works, shards }) => ({
          id,
          name,
          since,
          state: works ? 'up' : 'not working',
          tone: works ? 'good' : 'warn',
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

export function count(number: number, noun: string): string {
  return `${number.toLocaleString()} ${noun}${number === 1 ? '' : 's'}`;
}

function App({ title, rows }: { title: string; rows: readonly Row[] }): ReactNode {
  return (
    <Panel title={title}>
      {rows.length === 0 ? (
        <p className={styles.none}>None is running.</p>
      ) : (
        <ul className={styles.app}>
          {rows.map(({ id, name, since, state, tone, work }) => (
            <li key={id} title={id}>
              <strong>{name}</strong>
              <Badge tone={tone}>{state}</Badge>
              <span>
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
