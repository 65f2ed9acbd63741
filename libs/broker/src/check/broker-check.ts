/** Checks a broker once: what it grants, whether it has what the apps cannot do without, and which promises are weaker on it. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { NEVER_EXPIRES } from '../mqtt-connection.js';
import { NO_MATCHING_SUBSCRIBERS } from '../publish-outcome.js';
import { checkAbsence } from './absence.js';
import { CheckConnection, CheckInterruptedError, CheckNotAllowedError, CheckTopics } from './check-connection.js';
import { notGranted, type Essential, type Needs } from './essentials.js';
import type { Granted } from './granted.js';
import { connectMqtt5 } from './mqtt-version.js';
import { checkSharedRetain } from './shared-retain.js';

/** What is null is not known. */
export interface BrokerFindings {
  granted: Granted;
  absenceProvable: boolean | null;
  /** Whether the broker reports that nobody is subscribed to the topic of a publish (0x10). */
  noSubscriberSignal: boolean | null;
  /** The topic that the access control of the broker refused: what depends on it is not known. */
  notAllowed: string | undefined;
}

export type BrokerCheck =
  | { kind: 'checked'; findings: BrokerFindings }
  | { kind: 'missing'; essential: Essential }
  /** There is no connection. `details`: the cause. */
  | { kind: 'unreachable'; details: string }
  /** The connection ended during the check. */
  | { kind: 'interrupted'; details: string; findings: BrokerFindings };

export interface BrokerCheckOptions {
  access: BrokerAccess;
  /** First part of the client ids, such as `ingester`. */
  name: string;
  needs: Needs;
  /** As for `RetainedReader`. */
  sentinel: string;
  logger: Logger;
}

export async function checkBroker(options: BrokerCheckOptions): Promise<BrokerCheck> {
  const { access, name, needs } = options;
  // The session of this connection must not be left behind, so the connection ends at once.
  const asking = await connectMqtt5(access, `${name}-check-${randomUUID()}`, {
    properties: { sessionExpiryInterval: NEVER_EXPIRES },
  });
  switch (asking.kind) {
    case 'no-mqtt-5':
      return { kind: 'missing', essential: 'mqtt-5' };
    case 'closed':
      return { kind: 'unreachable', details: 'the broker closed the connection without a CONNACK' };
    case 'refused':
    case 'unreachable':
      return { kind: 'unreachable', details: asking.details };
  }
  await asking.connection.end();
  const { granted } = asking.connection;
  const essential = notGranted(granted, needs);
  if (essential !== undefined) return { kind: 'missing', essential };
  const findings = { granted, absenceProvable: null, noSubscriberSignal: null, notAllowed: undefined };
  return needs === 'publish' ? { kind: 'checked', findings } : checkIntake(options, findings);
}

async function checkIntake(options: BrokerCheckOptions, findings: BrokerFindings): Promise<BrokerCheck> {
  const first = await checkIntakeOnce(options, findings);
  // A broker may fall silent on a shared subscription until the connection ends. Nothing is missing for good after one silence.
  return first.kind === 'missing' ? checkIntakeOnce(options, findings) : first;
}

async function checkIntakeOnce(options: BrokerCheckOptions, findings: BrokerFindings): Promise<BrokerCheck> {
  const { access, name } = options;
  const opened = await CheckConnection.open(access, `${name}-check-${randomUUID()}`);
  if (opened.kind !== 'connected')
    return { kind: 'interrupted', details: 'the broker did not accept a second connection', findings };
  const { connection } = opened;
  const topics = new CheckTopics();
  try {
    const essential = await checkSharedRetain(connection, topics);
    if (essential !== undefined) return { kind: 'missing', essential };
    const reasonCode = await connection.publish(topics.at('nobody'), 'nobody', false);
    findings.noSubscriberSignal = reasonCode === NO_MATCHING_SUBSCRIBERS;
    const clientId = `${name}-check-${randomUUID()}`;
    const absence = await checkAbsence(connection, topics, { ...options, clientId });
    if (absence === 'none') return { kind: 'missing', essential: 'retained-messages' };
    if (absence !== 'unknown') findings.absenceProvable = absence === 'provable';
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
