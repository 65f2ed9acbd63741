/**
 * Whether a read of retained messages proves that a topic has none: publishes retained messages, and reads them as the
 * service does, a second time if some were missing.
 */
import { pause, type Logger } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { IncompleteReadError, RetainedReader } from '../retained-reader.js';
import type { CheckConnection, CheckPublish, CheckTopics } from './check-connection.js';
import { gate } from './gate.js';

/** As many as one read of the service may have. */
const MESSAGES = 200;
/** As long as a verification waits before it reads an absent client again. */
const AGAIN_MS = 500;
/** Until a broker whose messages are readable late, and one that keeps none, can be distinguished. */
const LATE_MS = 2000;
/** How long such a broker may take to send the first of them. */
const FIRST_MS = 2000;
const READ_MS = 3000;

/** `none`: the broker keeps no retained messages. `unknown`: it could not be read. */
export type AbsenceCheck = 'provable' | 'not-provable' | 'none' | 'unknown';

export interface AbsenceOptions {
  access: BrokerAccess;
  clientId: string;
  /** As for `RetainedReader`. */
  sentinel: string;
  logger: Logger;
}

/** @throws CheckInterruptedError, CheckNotAllowedError */
export async function checkAbsence(
  connection: CheckConnection,
  topics: CheckTopics,
  { access, clientId, sentinel, logger }: AbsenceOptions,
): Promise<AbsenceCheck> {
  const retained = Array.from({ length: MESSAGES }, (_, i) => topics.at(`retained/${i}`));
  const withPayload = (payload: string): CheckPublish[] => retained.map((topic) => ({ topic, payload, retain: true }));
  const reader = new RetainedReader(access, clientId, sentinel, logger, READ_MS);
  try {
    await connection.publishAll(withPayload('retained'));
    let found = await reader.read(retained);
    if (found.size === MESSAGES) return 'provable';
    await pause(AGAIN_MS);
    found = await reader.read(retained);
    if (found.size === MESSAGES) return 'provable';
    if (found.size > 0) return 'not-provable';
    await pause(LATE_MS);
    // The sentinel may always come before the messages, so a third read would prove nothing.
    return (await sendsRetained(connection, topics.at('retained/+'))) ? 'not-provable' : 'none';
  } catch (error) {
    if (error instanceof IncompleteReadError) return 'unknown';
    throw error;
  } finally {
    await reader.close();
    await connection.publishAll(withPayload('')).catch((error: unknown) => {
      logger.debug({ err: error }, 'could not remove the retained messages of a check: they expire');
    });
  }
}

/** Whether a subscription brings a retained message. Call it on a connection that has received messages: it may read. */
async function sendsRetained(connection: CheckConnection, filter: string): Promise<boolean> {
  const came = gate();
  const stop = connection.onMessage(({ retain, isEmpty }) => {
    if (retain && !isEmpty) came.open();
  });
  try {
    await connection.subscribe(filter, { retained: true });
    return await connection.endsInTime(FIRST_MS, came.passed);
  } finally {
    stop();
  }
}
