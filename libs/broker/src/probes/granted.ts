/** What the broker grants in its CONNACK. */
import { NEVER_EXPIRES } from '../mqtt-connection.js';
import { ok, probe, weaker, wrong, type Finding, type Measured } from './probe.js';

const HOUR = 3600;
/** Messages of the protocol may be as large as this; larger ones of clients are refused anyway. */
const NEEDED_PACKET_BYTES = 1024 * 1024;

export interface Granted extends Measured {
  session_expiry_seconds: number | null;
  receive_maximum: number | null;
  maximum_packet_size: number | null;
  maximum_qos: number;
  retain_available: boolean;
  shared_subscriptions: boolean;
  wildcard_subscriptions: boolean;
  server_keep_alive_seconds: number | null;
}

export const granted = probe<Granted>({
  name: 'granted limits',
  needed: 'MQTT 5, QoS 1, retained messages, shared subscriptions, sessions that last',
  isEssential: true,
  limitMs: 5000,
  measure: async (broker) => {
    const { client, connack } = await broker.open({ sessionExpirySeconds: NEVER_EXPIRES });
    const properties = connack.properties ?? {};
    await client.end(true);
    return {
      session_expiry_seconds: properties.sessionExpiryInterval ?? null,
      receive_maximum: properties.receiveMaximum ?? null,
      maximum_packet_size: properties.maximumPacketSize ?? null,
      maximum_qos: properties.maximumQoS ?? 2,
      retain_available: properties.retainAvailable ?? true,
      shared_subscriptions: properties.sharedSubscriptionAvailable ?? true,
      wildcard_subscriptions: properties.wildcardSubscriptionAvailable ?? true,
      server_keep_alive_seconds: properties.serverKeepAlive ?? null,
    };
  },
  judge: judgeGranted,
});

export function judgeGranted(found: Granted): Finding {
  const missing = [
    ...(found.maximum_qos < 1 ? ['QoS 1'] : []),
    ...(found.retain_available ? [] : ['retained messages']),
    ...(found.shared_subscriptions ? [] : ['shared subscriptions']),
    ...(found.wildcard_subscriptions ? [] : ['wildcard subscriptions']),
  ];
  if (missing.length > 0)
    return wrong(`no ${missing.join(', no ')}`, 'the service does not start: enable it in the broker');
  const { session_expiry_seconds: expiry, maximum_packet_size: bytes, receive_maximum: receive } = found;
  const text = [
    expiry === null || expiry === NEVER_EXPIRES ? 'sessions never expire' : `sessions expire after ${duration(expiry)}`,
    `receive maximum ${receive ?? 'not named'}`,
    bytes === null ? 'no packet limit' : `packets to ${bytes} bytes`,
  ].join(', ');
  if (expiry !== null && expiry < NEVER_EXPIRES)
    return weaker(
      text,
      `if no ingester runs for ${duration(expiry)}, what clients published in that time is lost; a sweep follows`,
    );
  if (bytes !== null && bytes < NEEDED_PACKET_BYTES)
    return weaker(text, 'larger messages cannot be published: they fail');
  return ok(text, 'a lane keeps its session while no ingester runs');
}

function duration(seconds: number): string {
  const hours = Math.floor(seconds / HOUR);
  return hours >= 48 ? `${Math.floor(hours / 24)} days` : hours > 0 ? `${hours} h` : `${seconds} s`;
}
