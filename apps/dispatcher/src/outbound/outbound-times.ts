/** The times of the outbound side, which depend on each other. In milliseconds. */
import { REDIS_REPLY_MS, assertTimeOrder, type TimeOrder } from '@app/platform';
import { LeaseTiming } from '@app/sharding';

/**
 * Lease of a shard's outbound side: a dispatcher that dies delays its shards by this. Without a heartbeat for this long it does not count
 * as a dispatcher any more, so that the others may take more.
 */
export const OUTBOUND_LEASE_MS = 2000;
export const outboundTiming = new LeaseTiming(OUTBOUND_LEASE_MS, REDIS_REPLY_MS);
/** How often a dispatcher looks for shards that have work and no owner. */
export const CHECK_MS = 1000;
/** A shard without work for this long is given back; the next message activates it again. */
export const IDLE_MS = 3000;
/**
 * How long results of publishes are gathered at most while nothing waits for their completion, so that a step completes several. A caller
 * who asks for the status of a message sees `sent` that much later, and a dispatcher that is killed publishes them again.
 */
export const GATHER_MS = 30;
/** As many results are completed at once. */
export const MOST_RESULTS = 64;
/** If other shards wait for permits, a shard leaves its connections after this time. */
export const TURN_MS = 1000;
/** If Redis does not answer a step for this long, the shard gives the permits that it does not use to others. */
export const ANSWER_MS = 250;
/** How long a shard that is given back waits for its publishes before it interrupts them. */
export const GIVE_UP_MS = 3000;
/** How long the outbound side may take to stop: its shards, and then its connections. */
export const CLOSE_MS = 6000;

export const OUTBOUND_TIMES = {
  CHECK_MS,
  IDLE_MS,
  GATHER_MS,
  TURN_MS,
  ANSWER_MS,
  OUTBOUND_LEASE_MS,
  GIVE_UP_MS,
  CLOSE_MS,
};
type OutboundTime = keyof typeof OUTBOUND_TIMES;

const ORDERS: readonly TimeOrder<OutboundTime>[] = [
  { time: 'GATHER_MS', atMost: 'ANSWER_MS', because: 'a message must not wait longer for others than for Redis' },
  {
    time: 'ANSWER_MS',
    atMost: 'TURN_MS',
    because: 'permits that are not used must be free before others get their turn',
  },
  {
    time: 'CHECK_MS',
    atMost: 'OUTBOUND_LEASE_MS',
    because:
      'a shard without an owner must be found within two seconds, and a dispatcher that looks sends its heartbeat then',
  },
  {
    time: 'OUTBOUND_LEASE_MS',
    atMost: 'IDLE_MS',
    because: 'a lease for a single message must not cost more than the message',
  },
  { time: 'GIVE_UP_MS', atMost: 'CLOSE_MS', because: 'shards whose publishes were interrupted still have to end' },
];

/** @throws RangeError if two of the times do not fit each other */
export function assertOutboundTimes(times: Readonly<Record<OutboundTime, number>> = OUTBOUND_TIMES): void {
  assertTimeOrder(times, ORDERS);
}
