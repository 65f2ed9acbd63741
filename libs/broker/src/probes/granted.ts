/** What the broker grants in its CONNACK. */
import { notGranted } from '../check/essentials.js';
import { grantedFields, type Granted } from '../check/granted.js';
import { NEEDED_PACKET_BYTES } from '../check/weaker-promises.js';
import { lacking, ok, probe, weaker, type Finding, type Probe } from './probe.js';

const HOUR = 3600;

/** @param granted what the first connection of the check was granted */
export function grantedLimits(granted: Granted): Probe {
  return probe({
    name: 'granted limits',
    needed: 'MQTT 5, QoS 1, retained messages, shared subscriptions, sessions that last',
    isEssential: true,
    limitMs: 5000,
    measure: () => Promise.resolve(grantedFields(granted)),
    judge: () => judgeGranted(granted),
  });
}

export function judgeGranted(granted: Granted): Finding {
  const essential = notGranted(granted, 'intake');
  if (essential !== undefined) return lacking(essential);
  const { sessionExpirySeconds: expiry, maximumPacketSize: bytes, receiveMaximum } = granted;
  const text = [
    expiry === null ? 'the broker names no limit of sessions' : `sessions expire after ${duration(expiry)}`,
    `receive maximum ${receiveMaximum}`,
    bytes === null ? 'no packet limit' : `packets to ${bytes} bytes`,
  ].join(', ');
  if (expiry !== null)
    return weaker(
      text,
      `if no ingester runs for ${duration(expiry)}, what clients published in that time is lost; a sweep follows`,
    );
  if (bytes !== null && bytes < NEEDED_PACKET_BYTES)
    return weaker(text, 'larger messages cannot be published: they fail');
  return ok(text, 'a lane keeps its session while no ingester runs, if the broker has no limit that it does not name');
}

function duration(seconds: number): string {
  const hours = Math.floor(seconds / HOUR);
  return hours >= 48 ? `${Math.floor(hours / 24)} days` : hours > 0 ? `${hours} h` : `${seconds} s`;
}
