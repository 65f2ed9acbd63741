/** Whether the PUBACK says that nobody is subscribed to the topic of a publish (0x10), and only then. */
import { NO_MATCHING_SUBSCRIBERS } from '../publish-outcome.js';
import type { CheckConnection } from './check-connection.js';
import type { CheckTopics } from './check-topics.js';

/** The reason codes of the PUBACKs without and with a subscriber. */
export type PubackCodes = Readonly<Record<'without' | 'with', number>>;

/** @throws CheckInterruptedError, CheckNotAllowedError */
export async function measurePubacks(connection: CheckConnection, topics: CheckTopics): Promise<PubackCodes> {
  const topic = topics.at('out');
  const without = await connection.publish({ topic, payload: 'nobody' });
  await connection.subscribe(topic);
  return { without, with: await connection.publish({ topic, payload: 'somebody' }) };
}

export function reportsNoSubscribers(codes: PubackCodes): boolean {
  return codes.without === NO_MATCHING_SUBSCRIBERS && codes.with !== NO_MATCHING_SUBSCRIBERS;
}
