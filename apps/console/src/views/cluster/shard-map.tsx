/** Each shard as a square, in the colour of its owner; those with waiting entries are marked. */
import type { Cluster } from '@cloud-connector/client';
import { useMemo, type CSSProperties, type ReactNode } from 'react';
import { milliseconds } from '../../ui/time-text.js';
import styles from './cluster.module.css';
import { count } from './members.js';

type Shard = Cluster['shards'][number];

/** Hues that differ well, one after the other. */
const hueOf = (index: number): number => Math.round((172 + index * 137.5) % 360);

export function ShardMap({ cluster: { shards, members } }: { cluster: Cluster }): ReactNode {
  const owners = useMemo(() => {
    const ids = new Set([...members.map(({ id }) => id), ...shards.flatMap(({ owner }) => owner ?? [])]);
    return new Map([...ids].toSorted().map((id, index) => [id, hueOf(index)]));
  }, [members, shards]);
  const nameOf = (id: string): string => members.find((member) => member.id === id)?.name ?? id;
  const waiting = shards.filter(({ mailbox_depth: depth }) => depth > 0);
  const slowest = waiting.toSorted((a, b) => b.mailbox_lag_ms - a.mailbox_lag_ms)[0];
  const ownerless = shards.filter(({ owner }) => owner === null).length;
  return (
    <div className={styles.map}>
      <p role="status">
        {slowest === undefined
          ? 'No mailbox has entries that wait.'
          : `${count(waiting.length, 'mailbox')} with waiting entries; the oldest waits for ${milliseconds(slowest.mailbox_lag_ms)}, at shard ${slowest.shard}.`}
        {ownerless > 0 && <strong className={styles.none}> {count(ownerless, 'shard')} without an owner.</strong>}
      </p>
      <ol className={styles.shards} aria-label="Shards">
        {shards.map((shard) => (
          <li
            key={shard.shard}
            title={titleOf(shard, nameOf)}
            className={[styles.shard, shard.mailbox_depth > 0 && styles.waiting, shard.owner === null && styles.free]
              .filter(Boolean)
              .join(' ')}
            style={{ '--hue': owners.get(shard.owner ?? '') ?? 0 } as CSSProperties}
          >
            <span aria-hidden>{shard.shard}</span>
            <span className="unseen">{titleOf(shard, nameOf)}</span>
          </li>
        ))}
      </ol>
      <ul className={styles.legend}>
        {[...owners].map(([id, hue]) => (
          <li key={id}>
            <i className={styles.shard} style={{ '--hue': hue } as CSSProperties} />
            {nameOf(id)}: {shards.filter(({ owner }) => owner === id).length}
          </li>
        ))}
      </ul>
    </div>
  );
}

function titleOf(
  { shard, owner, epoch, mailbox_depth: depth, mailbox_lag_ms: lag }: Shard,
  nameOf: (id: string) => string,
): string {
  const whose = owner === null ? 'no owner' : `${nameOf(owner)}, epoch ${epoch ?? '–'}`;
  return `Shard ${shard}: ${whose}; ${depth === 0 ? 'nothing waits' : `${depth} waiting, the oldest for ${milliseconds(lag)}`}`;
}
