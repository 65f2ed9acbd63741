/**
 * Gives memory back when the process is at rest. V8 collects garbage while it allocates, so after a burst of work the garbage and
 * the room for more would stay as long as nothing happens. A process that was at rest for some seconds, and whose heap has grown
 * since the last time, asks V8 for what it does when memory runs out: some tens of milliseconds, when nothing else is to be done.
 */
import { getHeapStatistics } from 'node:v8';
import type { Logger } from './logger.js';

const CHECK_EVERY_MS = 5000;
/** A process that uses less than this share of the time is at rest. */
const BUSY_SHARE = 0.02;
/** Growth of the heap that is worth a collection: at once, and if the last one was some time ago. */
const GROWN_BYTES = { atOnce: 64 * 2 ** 20, later: 8 * 2 ** 20 } as const;
const LATER_MS = 30_000;
/** A larger heap is left to V8: its collection would take so long that leases could not be renewed. */
const MOST_BYTES = 512 * 2 ** 20;

export interface HeapAtRest {
  /** Share of the last seconds in which the event loop was busy. */
  utilization: number;
  heapBytes: number;
  /** Size of the heap after the last collection; 0 if there was none. */
  keptBytes: number;
  /** Time since the last collection. */
  sinceMs: number;
}

/** @returns a function that ends it */
export function collectAtRest(logger: Logger): () => void {
  let checked = performance.eventLoopUtilization();
  let keptBytes = 0;
  let collectedAt = -Infinity;
  let isCollecting = false;
  const check = async (): Promise<void> => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, checked);
    checked = now;
    const heapBytes = heapSize();
    const sinceMs = performance.now() - collectedAt;
    if (isCollecting || !mayCollect({ utilization, heapBytes, keptBytes, sinceMs })) return;
    isCollecting = true;
    await collect();
    keptBytes = heapSize();
    collectedAt = performance.now();
    isCollecting = false;
    logger.debug({ before: heapBytes, after: keptBytes }, 'at rest: memory given back');
  };
  const timer = setInterval(() => {
    // After a failure `isCollecting` stays: this Node cannot do it.
    check().catch((error: unknown) => logger.warn({ err: error }, 'cannot give memory back at rest'));
  }, CHECK_EVERY_MS).unref();
  return () => clearInterval(timer);
}

export function mayCollect({ utilization, heapBytes, keptBytes, sinceMs }: HeapAtRest): boolean {
  if (utilization >= BUSY_SHARE || heapBytes > MOST_BYTES) return false;
  return heapBytes - keptBytes > (sinceMs < LATER_MS ? GROWN_BYTES.atOnce : GROWN_BYTES.later);
}

function heapSize(): number {
  return getHeapStatistics().total_heap_size;
}

/** Node has no other call for it. The session is inside the process: no port is opened. */
async function collect(): Promise<void> {
  const { Session } = await import('node:inspector/promises');
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.collectGarbage');
  } finally {
    session.disconnect();
  }
}
