/** What a process measures that owns shards or lanes. Made by the first of its owners: other apps expose none of it. */
import { counter, gauge, secondsHistogram } from '@app/platform';

export type OwnershipMetrics = ReturnType<typeof make>;
let made: OwnershipMetrics | undefined;

export function ownershipMetrics(): OwnershipMetrics {
  return (made ??= make());
}

function make() {
  return {
    refusals: counter('fencing_refusals', 'Writes refused because the lease was not held any more.', {
      kind: ['shard', 'lane'],
    }),
    shardsOwned: gauge('shards_owned', 'Shards this process acts for.'),
    lanesOwned: gauge('lanes_owned', 'Lanes this process acts for.'),
    unfit: gauge('unfit', 'Whether this process leaves its work to others that are fit (1) or not (0).'),
    changes: counter('lease_changes', 'Shards and lanes acquired, released and lost by this process.', {
      kind: ['shard', 'lane'],
      change: ['acquired', 'released', 'lost'],
    }),
    handOff: secondsHistogram('hand_off_duration', 'Time to finish with a shard or lane and give it back.', ['kind']),
  };
}
