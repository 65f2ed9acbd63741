/** What a broker lacks that makes a promise of the service weaker, in plain words. Pure. */
import { KEEP_ALIVE_SECONDS } from '../mqtt-connection.js';
import type { BrokerFindings } from './broker-check.js';
import { CHECK_RIGHTS } from './check-topics.js';
import type { Needs } from './essentials.js';
import type { Granted } from './granted.js';

/** Messages of the protocol may be as large as this. */
export const NEEDED_PACKET_BYTES = 1024 * 1024;

/** One line for each promise; empty if all are kept. What is null in the findings is not known, and gives no line. */
export function weakerPromises(findings: BrokerFindings, needs: Needs): string[] {
  const { granted, absenceProvable, noSubscriberSignal, notAllowed, readProblem } = findings;
  const lines = limitsOf(granted, needs);
  if (noSubscriberSignal === false)
    lines.push(
      'the broker does not report that nobody is subscribed to a topic (0x10): a message to a client that does not listen ' +
        'becomes sent, never held',
    );
  if (absenceProvable === false)
    lines.push(
      'on this broker a read of retained messages does not prove that a client has none: sweeps and verifications take no ' +
        'client offline',
    );
  if (readProblem !== undefined)
    lines.push(
      'the check could not read retained messages, so it is not known whether sweeps and verifications can: ' +
        readProblem,
    );
  if (notAllowed !== undefined)
    lines.push(
      `the broker does not allow ${notAllowed}, so it is not known whether it has all that the service needs: ` +
        CHECK_RIGHTS,
    );
  return lines;
}

function limitsOf(granted: Granted, needs: Needs): string[] {
  const { sessionExpirySeconds: expiry, maximumPacketSize: bytes, serverKeepAliveSeconds: keepAlive } = granted;
  const lines: string[] = [];
  if (needs === 'intake' && expiry !== null)
    lines.push(
      `the broker keeps the session of a lane for ${expiry} s only: if no ingester runs for longer, what clients publish in ` +
        'that time is lost; a sweep corrects the connections',
    );
  if (bytes !== null && bytes < NEEDED_PACKET_BYTES)
    lines.push(`the broker allows packets of ${bytes} bytes only: larger messages to clients fail`);
  if (keepAlive !== null && keepAlive > KEEP_ALIVE_SECONDS)
    lines.push(
      `the broker asks for a keep-alive of ${keepAlive} s: if it freezes, that is noticed only after up to ` +
        `${Math.ceil(keepAlive * 1.5)} s`,
    );
  return lines;
}
