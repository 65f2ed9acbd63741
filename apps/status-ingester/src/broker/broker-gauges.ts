/** Gauges of what is known of the broker. What is not known has no sample. */
import type { Gauge } from 'prom-client';
import type { Essential, Granted } from '@app/broker';
import { gauge } from '@app/platform';

const sessionExpirySeconds = unknownAtFirst(
  gauge(
    'broker_session_expiry_seconds',
    'How long the broker keeps the session of a lane that is not connected; +Inf: it names no limit.',
  ),
);
const receiveMaximum = unknownAtFirst(
  gauge('broker_receive_maximum', 'How many publishes of one connection may wait for their acknowledgement.'),
);
const maximumPacketSizeBytes = unknownAtFirst(
  gauge('broker_maximum_packet_size_bytes', 'Largest packet that the broker accepts; +Inf: no limit.'),
);
const retainAvailable = unknownAtFirst(
  gauge(
    'broker_retain_available',
    'Whether the broker keeps retained messages (1), or lacks them (0): then no lane connects.',
  ),
);
const sharedSubscriptions = unknownAtFirst(
  gauge(
    'broker_shared_subscriptions',
    'Whether the broker delivers to shared subscriptions (1), or does not (0): then no lane connects.',
  ),
);
const noSubscriberSignal = unknownAtFirst(
  gauge(
    'broker_no_subscriber_signal',
    'Whether the broker reports that nobody is subscribed to the topic of a message.',
  ),
);
const absenceProvable = unknownAtFirst(
  gauge('broker_absence_provable', 'Whether a read of retained messages proves that a client has none.'),
);
const queueLimit = unknownAtFirst(
  gauge(
    'broker_queue_limit',
    'How many messages the broker keeps for a session that is not connected, if a limit was found.',
  ),
);

export function exposeGranted(granted: Granted): void {
  sessionExpirySeconds(granted.sessionExpirySeconds ?? Infinity);
  receiveMaximum(granted.receiveMaximum);
  maximumPacketSizeBytes(granted.maximumPacketSize ?? Infinity);
  retainAvailable(Number(granted.retainAvailable));
  sharedSubscriptions(Number(granted.sharedSubscriptions));
}

/** `essential`: what the broker lacks, whatever it grants; undefined if it has all. */
export function exposeMissing(essential: Essential | undefined): void {
  if (essential === 'retained-messages') retainAvailable(0);
  else if (essential === 'shared-subscriptions') sharedSubscriptions(0);
  else if (essential === undefined) for (const expose of [retainAvailable, sharedSubscriptions]) expose(1);
}

/** `null`: not known. */
export function exposeSignals(signal: boolean | null, provable: boolean | null): void {
  noSubscriberSignal(signal === null ? null : Number(signal));
  absenceProvable(provable === null ? null : Number(provable));
}

/** `null`: not known, or no limit was found. */
export function exposeQueueLimit(limit: number | null): void {
  queueLimit(limit);
}

/** A gauge without labels would begin with 0. @returns the function that sets it */
function unknownAtFirst(of: Gauge): (value: number | null) => void {
  of.remove();
  return (value) => (value === null ? of.remove() : of.set(value));
}
