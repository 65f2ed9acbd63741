/** How workers of BullMQ behave while Redis is away. */
import { setImmediate } from 'node:timers/promises';
import type { Worker } from 'bullmq';

/** Options of each worker. A worker waits this long after an error of Redis, and a close waits for it: BullMQ's own is 15 s. */
export const WORKER_RETRY = { runRetryDelay: 1000 } as const;

/**
 * Closes a worker: it takes no more jobs, and resolves when its current ones have ended. BullMQ then waits for the end of the
 * worker's blocking connection, and one that is about to reconnect has no end. So a worker without that connection is closed at
 * once: its jobs go on unreported, and another worker repeats them when their locks have expired, as if the process had died.
 */
export async function closeWorker<Data, Result>(worker: Worker<Data, Result>): Promise<void> {
  await worker.close(!(await isConnected(worker)));
}

async function isConnected<Data, Result>(worker: Worker<Data, Result>): Promise<boolean> {
  // The promise of a connection that was never there stays open.
  const client = await Promise.race([worker.backend.blockingClient?.catch(() => undefined), setImmediate(undefined)]);
  return client?.status === 'ready';
}
