/** The probes in the order in which they are made, after that of the granted limits. */
import { absentQueue } from './absent-queue.js';
import { retainedReadable, sentinelOrder } from './absence.js';
import { absentMember, oneTopic } from './group-members.js';
import { lastWill } from './last-will.js';
import { noSubscribers } from './no-subscribers.js';
import type { Probe } from './probe.js';
import { redelivery } from './redelivery.js';
import { restart } from './restart.js';
import { retainKept, retainKeptWithDots } from './retain-as-published.js';
import { statistics } from './statistics.js';

export const PROBES: readonly Probe[] = [
  retainKept,
  retainKeptWithDots,
  lastWill,
  sentinelOrder,
  retainedReadable,
  noSubscribers,
  redelivery,
  absentMember,
  oneTopic,
  absentQueue,
  statistics,
];

/** Needs somebody who restarts the broker. */
export const RESTART_PROBE: Probe = restart;
