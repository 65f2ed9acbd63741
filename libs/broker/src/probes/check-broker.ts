/** Checks a broker: connects, makes all probes, and cleans up. */
import type { BrokerAccess } from '../broker-access.js';
import { missingRights } from './check-rights.js';
import { ConnectError, ProbeBroker } from './probe-broker.js';
import { PROBES, RESTART_PROBE } from './probes.js';
import { runProbes, type ProbeReport } from './run-probes.js';

export interface CheckOptions {
  restart: boolean;
  notify: (text: string) => void;
  /** Resolves when the operator says that the broker is back. */
  untilOperator: (signal: AbortSignal) => Promise<void>;
}

export type CheckOutcome =
  | { kind: 'report'; report: ProbeReport }
  /** The broker does not speak MQTT 5. */
  | { kind: 'not-mqtt-5'; text: string }
  /** Nothing could be found out. */
  | { kind: 'failed'; text: string };

export async function checkBroker(
  access: BrokerAccess,
  { restart, notify, untilOperator }: CheckOptions,
): Promise<CheckOutcome> {
  const broker = new ProbeBroker(access, notify, untilOperator);
  try {
    const missing = await missingRights(broker);
    if (missing !== undefined) return { kind: 'failed', text: missing };
    return { kind: 'report', report: await runProbes(broker, restart ? [...PROBES, RESTART_PROBE] : PROBES) };
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const text = 'this broker does not speak MQTT 5, which the service needs: use a broker that does';
    if (error.isUnsupportedVersion || (await acceptsMqtt3(broker))) return { kind: 'not-mqtt-5', text };
    return { kind: 'failed', text: `cannot connect: ${error.message}` };
  } finally {
    await broker.cleanUp().catch((error: unknown) => {
      if (!(error instanceof ConnectError))
        notify(`could not remove all that the check left at the broker: ${String(error)}`);
    });
  }
}

/** Some brokers close the connection without a word when they get a CONNECT of MQTT 5. */
async function acceptsMqtt3(broker: ProbeBroker): Promise<boolean> {
  try {
    await broker.open({ protocolVersion: 4 });
    return true;
  } catch (error) {
    if (error instanceof ConnectError) return false;
    throw error;
  }
}
