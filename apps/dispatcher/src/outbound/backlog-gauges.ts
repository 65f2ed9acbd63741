/** Gauges of what waits for a dispatcher, on all shards. They have no sample while it is not known. */
import { gauge, setOrRemove } from '@app/platform';
import type { DueShard } from '@app/registry';

const readyConnections = gauge(
  'outbound_connections_ready',
  'Connections of all shards that have a message to publish now, and that no dispatcher has taken yet.',
);
const oldestReady = gauge('outbound_oldest_ready_age_seconds', 'For how long the first of them has been ready.');

/** @param shards those with work; undefined: not known, since Redis does not answer, or has not been asked yet */
export function exposeBacklog(shards: readonly Pick<DueShard, 'waiting' | 'oldestMs'>[] | undefined): void {
  setOrRemove(
    readyConnections,
    shards?.reduce((sum, { waiting }) => sum + waiting, 0),
  );
  const oldestMs = shards?.reduce((oldest, { oldestMs: each }) => Math.max(oldest, each), 0);
  setOrRemove(oldestReady, oldestMs === undefined ? undefined : oldestMs / 1000);
}
