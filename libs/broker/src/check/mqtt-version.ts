/**
 * Connects with MQTT 5, or finds out that the broker speaks only MQTT 3.1.1. A broker may close the connection without a
 * CONNACK because it does not know the version, or because it is starting or full. So it lacks MQTT 5 only if it accepts
 * MQTT 3.1.1 between two such ends.
 */
import type { BrokerAccess } from '../broker-access.js';
import { CheckConnection, type CheckConnectOptions, type Connecting } from './check-connection.js';

/** Unsupported protocol version, in MQTT 5 and in MQTT 3.1.1. */
const WRONG_VERSION: ReadonlySet<number> = new Set([0x84, 0x01]);

export async function connectMqtt5(
  access: BrokerAccess,
  clientId: string,
  options: CheckConnectOptions = {},
): Promise<Connecting | { kind: 'no-mqtt-5' }> {
  const first = await CheckConnection.open(access, clientId, options);
  if (first.kind === 'refused' && WRONG_VERSION.has(first.reasonCode)) return { kind: 'no-mqtt-5' };
  if (first.kind !== 'closed') return first;
  if (!(await acceptsOlder(access, clientId, options.signal))) return first;
  const second = await CheckConnection.open(access, clientId, options);
  return second.kind === 'closed' ? { kind: 'no-mqtt-5' } : second;
}

/** A refusal of the credentials shows too that the broker knows the version. */
async function acceptsOlder(access: BrokerAccess, clientId: string, signal: AbortSignal | undefined): Promise<boolean> {
  const older = await CheckConnection.open(access, clientId, { protocolVersion: 4, signal });
  if (older.kind === 'connected') await older.connection.end();
  return older.kind === 'connected' || (older.kind === 'refused' && !WRONG_VERSION.has(older.reasonCode));
}
