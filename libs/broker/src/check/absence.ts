/**
 * Whether a read of retained messages proves that a topic has none: publishes retained messages, and reads them as the
 * service does, a second time if some were missing.
 */
import { pause, type Logger } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { IncompleteReadError, RETAINED_LAG_MS, RetainedReader } from '../retained-reader.js';
import { CheckInterruptedError, type CheckConnection } from './check-connection.js';
import type { CheckTopics } from './check-topics.js';

/** As many as one read of the service may have. */
const MESSAGES = 200;
/** Until a broker whose messages are readable late, and one that keeps none, can be distinguished. */
const LATE_MS = 2000;
/** How long such a broker may take to send the first of them. */
const FIRST_MS = 2000;
export const READ_MS = 3000;
const RETAINED = 'retained';

/** Retained messages that a read did not find. */
export interface Missed {
  atOnce: number;
  atSecondRead: number;
}

/**
 * Publishes retained messages, and reads them as soon as the broker has acknowledged them: each group of topics in one read,
 * and again later if some of the group were missing.
 * @throws IncompleteReadError, CheckInterruptedError, CheckNotAllowedError
 */
export async function measureAbsence(
  connection: CheckConnection,
  reader: RetainedReader,
  groups: readonly (readonly string[])[],
  signal?: AbortSignal,
): Promise<Missed> {
  const read = async (topics: readonly string[]): Promise<number> => topics.length - (await reader.read(topics)).size;
  const missed = { atOnce: 0, atSecondRead: 0 };
  const again: (readonly string[])[] = [];
  for (const topics of groups) {
    await connection.publishAll(topics.map((topic) => ({ topic, payload: RETAINED, retain: true })));
    const count = await read(topics);
    missed.atOnce += count;
    if (count > 0) again.push(topics);
  }
  if (again.length > 0) await pause(RETAINED_LAG_MS, signal);
  for (const topics of again) missed.atSecondRead += await read(topics);
  return missed;
}

/** `none`: the broker keeps no retained messages. `unknown`: it could not be read; the text says why. */
export type AbsenceCheck = 'provable' | 'not-provable' | 'none' | { unknown: string };

export interface AbsenceOptions {
  access: BrokerAccess;
  clientId: string;
  /** As for `RetainedReader`. */
  sentinel: string;
  logger: Logger;
  signal?: AbortSignal | undefined;
}

/** @throws CheckInterruptedError, CheckNotAllowedError */
export async function checkAbsence(
  connection: CheckConnection,
  topics: CheckTopics,
  { access, clientId, sentinel, logger, signal }: AbsenceOptions,
): Promise<AbsenceCheck> {
  const retained = Array.from({ length: MESSAGES }, (_, i) => topics.at(`retained/${i}`));
  const reader = new RetainedReader(access, clientId, sentinel, logger, { readMs: READ_MS });
  const stop = (): void => void reader.close();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const { atSecondRead } = await measureAbsence(connection, reader, [retained], signal);
    if (atSecondRead === 0) return 'provable';
    if (atSecondRead < MESSAGES) return 'not-provable';
    await pause(LATE_MS, signal);
    // The sentinel may always come before the messages, so a third read would prove nothing.
    return (await sendsRetained(connection, topics.at('retained/+'))) ? 'not-provable' : 'none';
  } catch (error) {
    if (signal?.aborted) throw new CheckInterruptedError('the check was stopped', { cause: error });
    if (error instanceof IncompleteReadError) return { unknown: error.message };
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
    await reader.close();
    const empty = retained.map((topic) => ({ topic, payload: '', retain: true }));
    await connection.publishAll(empty).catch((error: unknown) => {
      logger.debug({ err: error }, 'could not remove the retained messages of a check: they expire');
    });
  }
}

/** Whether a subscription brings a retained message. Call it on a connection that has received messages: it may read. */
async function sendsRetained(connection: CheckConnection, filter: string): Promise<boolean> {
  await connection.subscribe(filter, { retained: true });
  return connection.until(
    () => connection.received.some(({ retain, payload }) => retain && payload === RETAINED),
    FIRST_MS,
  );
}
