/** What a caller asks of a publish, and what became of it. */

export type PublishOutcome =
  /** The broker took it, and did not report that there are no subscribers. */
  | { kind: 'acknowledged' }
  /** No subscribers (PUBACK reason 0x10). */
  | { kind: 'no-subscribers' }
  /** The broker refused it; `permanent` if it would refuse another attempt too. */
  | { kind: 'refused'; permanent: boolean; details: string }
  /** It was written, and the connection ended before its PUBACK. Only for a publish with `writeBy`. */
  | { kind: 'unknown'; details: string }
  /** It was not written before `writeBy`: the broker does not have it. Only for a publish with `writeBy`. */
  | { kind: 'late' }
  /** The wait was aborted: the broker may have it or not. */
  | { kind: 'aborted' };

export interface PublishOptions {
  /** When its time to live ends, by `performance.now()`. The MQTT 5 message expiry is what is left of it, at least a second. */
  expiresAt?: number;
  /** It must not be written later, by `performance.now()`: another process may have the right to publish it then. */
  writeBy?: number;
  retain?: boolean;
  /** The topic on which the receiver answers, and what its answer names: Response Topic and Correlation Data of MQTT 5. */
  request?: { responseTopic: string; correlationData: string };
  /** Ends the wait. */
  signal?: AbortSignal;
  /** Ends the wait in place of `signal` until the publish is written, and is ignored after that. */
  untilWritten?: AbortSignal;
}

/** PUBACK reason 0x10 of MQTT 5. */
export const NO_MATCHING_SUBSCRIBERS = 0x10;

/** Not authorized, topic name invalid, packet too large, payload format invalid, retain or QoS not supported. */
const PERMANENT_REFUSALS: ReadonlySet<number> = new Set([0x87, 0x90, 0x95, 0x99, 0x9a, 0x9b]);

/** The outcome of a publish that MQTT.js reports as failed. */
export function refusedBy(error: Error): PublishOutcome {
  const reasonCode = 'code' in error && typeof error.code === 'number' ? error.code : 0;
  return { kind: 'refused', permanent: PERMANENT_REFUSALS.has(reasonCode), details: error.message };
}
