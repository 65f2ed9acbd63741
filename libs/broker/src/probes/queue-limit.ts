/** The probe of the queue of an absent session, for a service that is running. */
import { within } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { absentQueue, judgeAbsentQueue, measureAbsentQueue } from './absent-queue.js';
import { ProbeBroker } from './probe-broker.js';

/**
 * Ends its session and its connections, also if `signal` is aborted in the middle.
 * @returns how many messages the broker keeps for an absent session; null: no limit was found @throws if it is not known
 */
export async function measureQueueLimit(access: BrokerAccess, signal?: AbortSignal): Promise<number | null> {
  const broker = new ProbeBroker(access);
  try {
    const measuring = measureAbsentQueue(broker);
    if (!(await within(absentQueue.limitMs, measuring, signal)))
      throw new Error('the queue of an absent session was not measured in time');
    const queue = await measuring;
    // It has expired, or the broker was restarted.
    if (!queue.session_kept) throw new Error('the broker no longer has the session whose queue was measured');
    return judgeAbsentQueue(queue).verdict === 'ok' ? null : queue.delivered;
  } finally {
    // If the broker is away, the session expires there after a minute.
    await broker.cleanUp().catch(() => undefined);
  }
}
