/** Checks a broker: what it grants, whether it has what the apps cannot do without, and which promises are weaker on it. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { NEVER_EXPIRES } from '../mqtt-connection.js';
import { checkAbsence } from './absence.js';
import { CheckConnection, CheckInterruptedError, CheckNotAllowedError } from './check-connection.js';
import { CheckTopics } from './check-topics.js';
import { notGranted, type Essential, type Needs } from './essentials.js';
import type { Granted } from './granted.js';
import { connectMqtt5 } from './mqtt-version.js';
import { measurePubacks, reportsNoSubscribers } from './no-subscribers.js';
import { checkSharedRetain } from './shared-retain.js';

/** What is null is not known. */
export interface BrokerFindings {
  granted: Granted;
  absenceProvable: boolean | null;
  /** Whether the broker reports that nobody is subscribed to the topic of a publish (0x10). */
  noSubscriberSignal: boolean | null;
  /** The topic that the access control of the broker refused: what depends on it is not known. */
  notAllowed: string | undefined;
  /** Why the check could not read, so that `absenceProvable` is not known. */
  readProblem: string | undefined;
}

/** A check without a result, or with one that keeps the app from working. */
export type FailedCheck =
  | { kind: 'missing'; essential: Essential }
  /** There is no connection. `details`: the cause. */
  | { kind: 'unreachable'; details: string };

export type BrokerCheck =
  | FailedCheck
  | { kind: 'checked'; findings: BrokerFindings }
  /** The connection ended during the check, or the broker did not reply in time. */
  | { kind: 'interrupted'; details: string; findings: BrokerFindings };

export type EssentialsCheck = FailedCheck | { kind: 'present' } | { kind: 'interrupted'; details: string };

/** What the app does with the broker. `sentinel`: as for `RetainedReader`. */
export type CheckedFor = { needs: 'publish' } | { needs: 'intake'; sentinel: string };

interface CheckOptions {
  access: BrokerAccess;
  /** First part of the client ids, such as `ingester`. */
  name: string;
  /** Ends the check soon. What it resolves with then says nothing of the broker. */
  signal?: AbortSignal;
}

export type BrokerCheckOptions = CheckOptions & CheckedFor & { logger: Logger };

export async function checkBroker(options: BrokerCheckOptions): Promise<BrokerCheck> {
  // The session of this connection must not be left behind, so the connection ends at once.
  const asking = await connectFor(options, NEVER_EXPIRES);
  if (asking.kind !== 'connected') return asking;
  await asking.connection.end();
  const { granted } = asking.connection;
  const findings = {
    granted,
    absenceProvable: null,
    noSubscriberSignal: null,
    notAllowed: undefined,
    readProblem: undefined,
  };
  return options.needs === 'publish'
    ? { kind: 'checked', findings }
    : twiceIfMissing(() => checkIntake(options, findings));
}

/**
 * Checks only whether the broker has the essentials of the intake, in a few round trips.
 * `withMessages`: false if an earlier check found that its messages are not allowed, or end the connection.
 */
export async function checkEssentials(options: CheckOptions, withMessages: boolean): Promise<EssentialsCheck> {
  return twiceIfMissing(() => checkEssentialsOnce(options, withMessages));
}

/**
 * A broker may fall silent on a shared subscription until the connection ends, so nothing counts as missing after one
 * silence. Retained messages have been read three times when they count as missing.
 */
async function twiceIfMissing<Check extends { kind: string; essential?: Essential }>(
  check: () => Promise<Check>,
): Promise<Check> {
  const first = await check();
  return first.kind === 'missing' && first.essential !== 'retained-messages' ? check() : first;
}

async function checkEssentialsOnce(options: CheckOptions, withMessages: boolean): Promise<EssentialsCheck> {
  const opened = await connectFor({ ...options, needs: 'intake' });
  if (opened.kind !== 'connected') return opened;
  const { connection } = opened;
  try {
    const essential = withMessages ? await checkSharedRetain(connection, new CheckTopics()) : undefined;
    return essential === undefined ? { kind: 'present' } : { kind: 'missing', essential };
  } catch (error) {
    if (error instanceof CheckNotAllowedError) return { kind: 'present' };
    if (error instanceof CheckInterruptedError) return { kind: 'interrupted', details: error.message };
    throw error;
  } finally {
    await connection.end();
  }
}

/** `sessionExpiryInterval`: how long the broker is asked to keep the session. */
async function connectFor(
  { access, name, signal, needs }: CheckOptions & { needs: Needs },
  sessionExpiryInterval?: number,
): Promise<FailedCheck | { kind: 'connected'; connection: CheckConnection }> {
  const clientId = `${name}-check-${randomUUID()}`;
  const opened = await connectMqtt5(
    access,
    clientId,
    sessionExpiryInterval === undefined ? { signal } : { signal, properties: { sessionExpiryInterval } },
  );
  switch (opened.kind) {
    case 'no-mqtt-5':
      return { kind: 'missing', essential: 'mqtt-5' };
    case 'closed':
    case 'refused':
    case 'unreachable':
      return { kind: 'unreachable', details: opened.details };
  }
  const essential = notGranted(opened.connection.granted, needs);
  if (essential === undefined) return opened;
  await opened.connection.end();
  return { kind: 'missing', essential };
}

async function checkIntake(
  options: Extract<BrokerCheckOptions, { needs: 'intake' }>,
  findings: BrokerFindings,
): Promise<BrokerCheck> {
  const { access, name, signal } = options;
  const opened = await CheckConnection.open(access, `${name}-check-${randomUUID()}`, { signal });
  if (opened.kind !== 'connected')
    return { kind: 'interrupted', details: 'the broker did not accept a second connection', findings };
  const { connection } = opened;
  const topics = new CheckTopics();
  try {
    const essential = await checkSharedRetain(connection, topics);
    if (essential !== undefined) return { kind: 'missing', essential };
    findings.noSubscriberSignal = reportsNoSubscribers(await measurePubacks(connection, topics));
    const clientId = `${name}-check-${randomUUID()}`;
    const absence = await checkAbsence(connection, topics, { ...options, clientId });
    if (absence === 'none') return { kind: 'missing', essential: 'retained-messages' };
    if (typeof absence === 'object') findings.readProblem = absence.unknown;
    else findings.absenceProvable = absence === 'provable';
    return { kind: 'checked', findings };
  } catch (error) {
    if (error instanceof CheckNotAllowedError) {
      findings.notAllowed = error.topic;
      return { kind: 'checked', findings };
    }
    if (error instanceof CheckInterruptedError) return { kind: 'interrupted', details: error.message, findings };
    throw error;
  } finally {
    await connection.end();
  }
}
