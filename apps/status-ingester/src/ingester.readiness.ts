/**
 * Readiness of an ingester: Redis answers, the broker has what it needs, its lanes are connected, and it owns the shards and
 * lanes that it should.
 */
import type { BrokerGate, Publisher } from '@app/broker';
import { redisCheck, type ReadinessCheck, type ReadinessOutcome, type Redis } from '@app/platform';
import type { LeasedOwnership } from '@app/sharding';
import type { LaneWatch } from './intake/lane-watch.js';
import type { LaneStrategy } from './intake/lane.strategy.js';
import type { StandBy } from './ownership/stand-by.js';

export function ingesterReadiness(
  redis: Redis,
  gate: BrokerGate,
  publisher: Publisher,
  lanes: LaneStrategy,
  laneWatch: LaneWatch,
  ownership: LeasedOwnership,
  standBy: StandBy,
): ReadinessCheck[] {
  return [
    redisCheck(redis),
    { name: 'broker', check: () => Promise.resolve(brokerHealth(gate, publisher, lanes, laneWatch)) },
    { name: 'ownership', check: () => Promise.resolve(ownershipHealth(ownership, standBy)) },
  ];
}

/** Exported for its spec. */
export function brokerHealth(
  gate: Pick<BrokerGate, 'problem'>,
  { problem }: Pick<Publisher, 'problem'>,
  lanes: Pick<LaneStrategy, 'connected'>,
  { stalledFilters, refusedTopics }: Pick<LaneWatch, 'stalledFilters' | 'refusedTopics'>,
): ReadinessOutcome {
  if (gate.problem !== undefined) return { down: gate.problem };
  if (stalledFilters.length > 0) {
    return { down: `nothing comes from the broker by ${stalledFilters.join(', ')}: the lanes are connected again` };
  }
  if (!lanes.connected) return { down: problem ?? 'not all lanes of this process are connected to the broker' };
  // An ingester without lanes has this connection alone. It has work to do, but no message waits for it at the broker.
  if (problem !== undefined) return { degraded: problem };
  if (refusedTopics.length === 0) return 'up';
  return { degraded: `lanes are not watched: the broker lets no marker be published on ${refusedTopics.join(', ')}` };
}

function ownershipHealth(ownership: LeasedOwnership, standBy: StandBy): ReadinessOutcome {
  // Not `down`: a rolling upgrade must continue, and end the older ingesters.
  if (standBy.isWaiting) return { degraded: 'stands by: ingesters of an older release are running' };
  const reason = ownership.notReadyReason();
  return reason === undefined ? 'up' : { down: reason };
}
