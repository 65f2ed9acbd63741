/** Times of an ingester that depend on each other, in milliseconds, with the settings. They are checked before the start. */
import { RETAINED_LAG_MS, UPTIME_MIN_SPAN_SECONDS, UPTIME_TOLERANCE_MS } from '@app/broker';
import { assertTimeOrder, type TimeOrder } from '@app/platform';
import { TODO_AGAIN_MS, TODO_GRACE_MS } from '@app/registry';
import type { IngesterSettings } from './ingester.settings.js';
import { MARKER_KEPT_MS } from './intake/lane-markers.js';
import { watchTiming } from './intake/lane-watch.module.js';
import { BARRIER_TIMEOUT_MS, BARRIER_REPEAT_MS } from './reconciliation/lane-barrier.js';
import { JOB_LOCK_MS, JOB_STALLED_CHECK_MS } from './reconciliation/maintenance-worker.js';
import { NO_PROGRESS_MS, RECENT_LIVE_MS } from './reconciliation/sweep.js';
import { FIRST_QUIET_MS, LATER_QUIET_MS, SWEEP_SILENCE_MS } from './reconciliation/sweep-reading.js';
import { RESULT_LOST_MS } from './reconciliation/verifier.js';
import { HOUSEKEEPING_MS } from './shard/housekeeping.js';
import { CLEAR_WITHIN_MS, PUBLISH_LIMITS } from './shard/todo-catalogue.js';

const CONSTANTS = {
  MARKER_KEPT_MS,
  BARRIER_REPEAT_MS,
  BARRIER_TIMEOUT_MS,
  JOB_STALLED_CHECK_MS,
  JOB_LOCK_MS,
  FIRST_QUIET_MS,
  LATER_QUIET_MS,
  SWEEP_SILENCE_MS,
  NO_PROGRESS_MS,
  RECENT_LIVE_MS,
  UPTIME_TOLERANCE_MS,
  'UPTIME_MIN_SPAN_SECONDS * 1000': UPTIME_MIN_SPAN_SECONDS * 1000,
  RETAINED_LAG_MS,
  RESULT_LOST_MS,
  HOUSEKEEPING_MS,
  TODO_GRACE_MS,
  TODO_AGAIN_MS,
  CLEAR_WITHIN_MS,
  'PUBLISH_LIMITS.timeoutMs': PUBLISH_LIMITS.timeoutMs,
};
export type IngesterTime = keyof typeof CONSTANTS | 'LEASE_TIME' | 'watchTiming.returnMs';
export type IngesterTimes = Readonly<Record<IngesterTime, number>>;

const ORDERS: readonly TimeOrder<IngesterTime>[] = [
  {
    time: 'LEASE_TIME',
    atMost: 'watchTiming.returnMs',
    because: 'a marker may wait for a lane that another ingester takes over',
  },
  {
    time: 'watchTiming.returnMs',
    atMost: 'MARKER_KEPT_MS',
    because: 'the lane watch asks Redis for its marker after that time',
  },
  {
    time: 'LEASE_TIME',
    atMost: 'BARRIER_TIMEOUT_MS',
    because: 'the barrier waits for a lane that another ingester takes over',
  },
  {
    time: 'BARRIER_REPEAT_MS',
    atMost: 'MARKER_KEPT_MS',
    because: 'the barrier asks Redis for its marker that often',
  },
  {
    time: 'BARRIER_REPEAT_MS',
    atMost: 'BARRIER_TIMEOUT_MS',
    because: 'a marker that was lost must be published again before the barrier is given up',
  },
  {
    time: 'JOB_STALLED_CHECK_MS',
    atMost: 'JOB_LOCK_MS',
    because: 'a sweep whose worker died is to be run again soon after its lock has ended',
  },
  {
    time: 'LATER_QUIET_MS',
    atMost: 'SWEEP_SILENCE_MS',
    because: 'a sweep that has read the sentinel is to end before one that is silent without it',
  },
  {
    time: 'UPTIME_TOLERANCE_MS',
    atMost: 'UPTIME_MIN_SPAN_SECONDS * 1000',
    because: "the broker's reports of a burst may differ by less than the tolerance, and prove nothing",
  },
  {
    time: 'RETAINED_LAG_MS',
    atMost: 'FIRST_QUIET_MS',
    because: 'the second pass of a sweep is to read again what the broker retained late',
  },
  {
    time: 'RETAINED_LAG_MS',
    atMost: 'RECENT_LIVE_MS',
    because: 'a sweep must not read a message older than one that it knows to have been delivered',
  },
  {
    time: 'RETAINED_LAG_MS',
    atMost: 'RESULT_LOST_MS',
    because: 'the second read of a client belongs to the same verification',
  },
  {
    time: 'RESULT_LOST_MS',
    atMost: 'TODO_AGAIN_MS',
    because: 'a result that was lost is to be read again before the to-do of its verification comes up again',
  },
  {
    time: 'RESULT_LOST_MS',
    atMost: 'NO_PROGRESS_MS',
    because: 'a result that was lost is to be read again before its sweep goes on without it',
  },
  {
    time: 'HOUSEKEEPING_MS',
    atMost: 'TODO_GRACE_MS',
    because: 'to-dos that lost their owner are to be found soon after their grace',
  },
  {
    time: 'CLEAR_WITHIN_MS',
    atMost: 'PUBLISH_LIMITS.timeoutMs',
    because: 'the removal of a retained message must be late before its to-do is given up',
  },
];

export function ingesterTimes({ LEASE_TIME }: Pick<IngesterSettings, 'LEASE_TIME'>): IngesterTimes {
  return { ...CONSTANTS, LEASE_TIME, 'watchTiming.returnMs': watchTiming(LEASE_TIME).returnMs };
}

/** @throws RangeError if two of the times do not fit each other */
export function assertIngesterTimes(times: IngesterTimes): void {
  assertTimeOrder(times, ORDERS);
}
