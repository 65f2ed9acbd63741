/**
 * The timer with which a Cluster of ioredis refreshes its hash slots. ioredis sets the next timer when a refresh ends, also
 * if the connection was ended during the refresh: then the timer goes on for ever and keeps the process alive. One repeating
 * timer, which `disconnect` clears, replaces it; on the prototype, because BullMQ duplicates our connections.
 */
import { Cluster } from 'ioredis';

/** Members that the types of ioredis hide. */
interface RefreshingCluster {
  slotsTimer?: NodeJS.Timeout | null;
  options: { slotsRefreshInterval?: number };
  refreshSlotsCache(): void;
  resetNodesRefreshInterval(): void;
}

(Cluster.prototype as unknown as RefreshingCluster).resetNodesRefreshInterval = function (
  this: RefreshingCluster,
): void {
  const everyMs = this.options.slotsRefreshInterval ?? 0;
  if (everyMs === 0 || (this.slotsTimer ?? null) !== null) return;
  this.slotsTimer = setInterval(() => this.refreshSlotsCache(), everyMs);
};
