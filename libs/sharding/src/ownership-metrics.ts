/** Metrics of a process that can own shards or lanes. They are created on first use, so that other apps do not expose them. */
import { counter, gauge, secondsHistogram } from '@app/platform';

export type OwnershipMetrics = ReturnType<typeof create>;
let created: OwnershipMetrics | undefined;

export function ownershipMetrics(): OwnershipMetrics {
  return (created ??= create());
}

function create() {
  return {
    refusals: counter('fencing_refusals', 'Writes refused because the lease was not held any more.', {
      kind: ['shard', 'lane', 'outbound'],
    }),
    shardsOwned: gauge('shards_owned', 'Shards this process acts for.'),
    lanesOwned: gauge('lanes_owned', 'Lanes this process acts for.'),
    unfit: gauge('unfit', 'Whether this process leaves its shards and lanes to healthy members (1) or not (0).'),
    changes: counter('lease_changes', 'Shards and lanes acquired, released and lost by this process.', {
      kind: ['shard', 'lane', 'outbound'],
      change: ['acquired', 'released', 'lost'],
    }),
    handOff: secondsHistogram('hand_off_duration', 'Time to finish with a shard or lane and release its lease.', [
      'kind',
    ]),
  };
}
