/** Probes a broker: connects, makes all probes, and cleans up. */
import { within } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { CheckNotAllowedError, CheckSilentError } from '../check/check-connection.js';
import { CHECK_RIGHTS } from '../check/check-topics.js';
import { notGranted } from '../check/essentials.js';
import { connectMqtt5 } from '../check/mqtt-version.js';
import { NEVER_EXPIRES } from '../mqtt-connection.js';
import { grantedLimits } from './granted.js';
import { ProbeBroker } from './probe-broker.js';
import { PROBES, RESTART_PROBE } from './probes.js';
import { runProbes, type ProbeReport } from './run-probes.js';

/** What is left then expires. */
const CLEAN_UP_MS = 8000;

export interface ProbeOptions {
  restart: boolean;
  notify: (text: string) => void;
  /** Resolves when the operator says that the broker is back. */
  untilOperator: (signal: AbortSignal) => Promise<void>;
}

export type ProbeOutcome =
  | { kind: 'report'; report: ProbeReport }
  /** The broker does not speak MQTT 5. */
  | { kind: 'not-mqtt-5'; text: string }
  /** Nothing could be found out. */
  | { kind: 'failed'; text: string };

export async function probeBroker(
  access: BrokerAccess,
  { restart, notify, untilOperator }: ProbeOptions,
): Promise<ProbeOutcome> {
  const begin = performance.now();
  const broker = new ProbeBroker(access, notify, untilOperator);
  const first = await connectMqtt5(access, broker.newClientId(), {
    properties: { sessionExpiryInterval: NEVER_EXPIRES },
  });
  if (first.kind === 'no-mqtt-5')
    return {
      kind: 'not-mqtt-5',
      text: 'this broker does not speak MQTT 5, which the service needs: use a broker that does',
    };
  if (first.kind !== 'connected') return { kind: 'failed', text: `cannot connect: ${first.details}` };
  await first.connection.end();
  const { granted } = first.connection;
  // Without an essential the other probes would fail, and show nothing of the broker.
  const others = notGranted(granted, 'intake') === undefined ? [...PROBES, ...(restart ? [RESTART_PROBE] : [])] : [];
  const probes = [grantedLimits(granted), ...others];
  try {
    return { kind: 'report', report: await runProbes(broker, probes, { begin }) };
  } catch (error) {
    if (!(error instanceof CheckNotAllowedError || error instanceof CheckSilentError)) throw error;
    return { kind: 'failed', text: `${error.message}: ${CHECK_RIGHTS}` };
  } finally {
    const isClean = await within(CLEAN_UP_MS, broker.cleanUp()).catch((error: unknown) => String(error));
    if (isClean !== true)
      notify(
        `could not remove all that the check left at the broker${isClean === false ? ' in time' : `: ${isClean}`}`,
      );
  }
}
