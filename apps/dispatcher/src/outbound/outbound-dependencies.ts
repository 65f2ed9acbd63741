/** What the outbound side of a shard needs: its commands and the publisher, and the lease under which it acts. */
import type { Logger } from '@app/platform';
import type { OutboundWork } from '@app/registry';
import type { Grant } from '@app/sharding';
import type { Publishing } from './publishing.js';
import type { Semaphore } from './semaphore.js';

export interface OutboundDependencies {
  work: Pick<OutboundWork, 'step' | 'takeOver' | 'close' | 'release'>;
  publishing: Pick<Publishing, 'publish'>;
  semaphore: Semaphore;
  /** Whether there is a connection to the broker. */
  isConnected: () => boolean;
  logger: Logger;
}

export interface OutboundLease {
  grant: Grant;
  leaseMs: number;
  /** Until when this process may write to the broker, by `performance.now`. */
  actUntil: () => number;
  /** Redis refused a command: another process has the lease. */
  lost: (grant: Grant) => void;
  /** An unexpected error has ended the work. */
  failed: (error: unknown) => void;
  /** Nothing is left to do, and the lease has been released. */
  passivated: () => void;
}
