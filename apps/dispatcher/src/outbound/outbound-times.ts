/** The times of a drain run, which depend on each other. In milliseconds. */
import { assertTimeOrder, type TimeOrder } from '@app/platform';
import { WAKE_AGAIN_MS } from '@app/registry';

/** Lock of a job: a dispatcher that dies delays its shards by this. */
export const LOCK_MS = 5000;
/** A dispatcher renews the lock at this interval. */
export const LOCK_RENEWAL_MS = LOCK_MS / 2;
/** How often BullMQ looks for stalled jobs. It finds one at the second check after the lock of the job has expired. */
export const STALLED_CHECK_MS = 1000;
/**
 * How long after its claim a message may be written: later, another process may have taken over, if this one was frozen. The
 * publisher checks it when it writes the packet.
 */
export const CLAIM_MS = 2500;
/** A run that still has work after this ends and is queued again, so that other dispatchers get their share of busy shards. */
export const RUN_MS = 1000;
/** If no publish is acknowledged for this long, the run also serves other connections of its shard. */
export const LATE_MS = 250;
/** How long a stop waits for runs before it interrupts them. */
export const GIVE_UP_MS = 3000;
/** How long the worker may take to stop: its drain runs, and then its connections. */
export const CLOSE_MS = 6000;

export const OUTBOUND_TIMES = {
  LATE_MS,
  RUN_MS,
  CLAIM_MS,
  'LOCK_MS - LOCK_RENEWAL_MS': LOCK_MS - LOCK_RENEWAL_MS,
  'LOCK_MS + 2 * STALLED_CHECK_MS': LOCK_MS + 2 * STALLED_CHECK_MS,
  WAKE_AGAIN_MS,
  GIVE_UP_MS,
  CLOSE_MS,
};
type OutboundTime = keyof typeof OUTBOUND_TIMES;

const ORDERS: readonly TimeOrder<OutboundTime>[] = [
  {
    time: 'CLAIM_MS',
    atMost: 'LOCK_MS - LOCK_RENEWAL_MS',
    because: 'another dispatcher may claim the message again when the lock of a frozen one has ended',
  },
  {
    time: 'LATE_MS',
    atMost: 'RUN_MS',
    because: 'after a late publish a run must have time left for other connections',
  },
  {
    time: 'LOCK_MS + 2 * STALLED_CHECK_MS',
    atMost: 'WAKE_AGAIN_MS',
    because: 'the job of a dispatcher that has died must run again before its shard is woken a second time',
  },
  { time: 'RUN_MS', atMost: 'GIVE_UP_MS', because: 'a run must be able to end by itself when the dispatcher stops' },
  { time: 'GIVE_UP_MS', atMost: 'CLOSE_MS', because: 'runs that were interrupted still have to end' },
];

/** @throws RangeError if two of the times do not fit each other */
export function assertOutboundTimes(times: Readonly<Record<OutboundTime, number>> = OUTBOUND_TIMES): void {
  assertTimeOrder(times, ORDERS);
}
