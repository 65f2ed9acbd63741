/** The times of a drain run, which depend on each other. In milliseconds. */
import { assertTimeOrder, type TimeOrder } from '@app/platform';
import { WAKE_AGAIN_MS } from '@app/registry';

/** Lock of a job: a dispatcher that dies delays its shards by this. */
export const LOCK_MS = 5000;
/** A living dispatcher renews the lock after this. */
export const LOCK_RENEWAL_MS = LOCK_MS / 2;
/** How often stalled jobs are looked for. A stalled job is found by the second look after its lock expired. */
export const STALLED_CHECK_MS = 1000;
/**
 * What a claim is worth publishing for: past it, a process that was frozen may have been taken for dead. The publisher
 * looks at it when it writes the packet.
 */
export const CLAIM_MS = 2500;
/** A run that still has work after this ends, and is queued again: so other dispatchers get their share of busy shards. */
export const RUN_MS = 1000;
/** What has not come back after this is not waited for alone: the run looks after the others of its shard. */
export const LATE_MS = 250;
/** How long a stop waits for runs to end by themselves. */
export const GIVE_UP_MS = 3000;
/** How long the worker may take to close: its drains, and then its connections. */
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
  { time: 'LATE_MS', atMost: 'RUN_MS', because: 'a run must have time left for others after a publish that is late' },
  {
    time: 'LOCK_MS + 2 * STALLED_CHECK_MS',
    atMost: 'WAKE_AGAIN_MS',
    because: 'the job of a dispatcher that died has to run again before its shard is woken a second time',
  },
  { time: 'RUN_MS', atMost: 'GIVE_UP_MS', because: 'a run must be able to end by itself when the dispatcher stops' },
  { time: 'GIVE_UP_MS', atMost: 'CLOSE_MS', because: 'runs that were given up still have to end' },
];

/** @throws RangeError if two of the times do not fit each other */
export function assertOutboundTimes(times: Readonly<Record<OutboundTime, number>> = OUTBOUND_TIMES): void {
  assertTimeOrder(times, ORDERS);
}
