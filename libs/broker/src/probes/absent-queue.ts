/** How many messages the broker keeps for the session of a lane while no ingester runs. */
import type { CheckConnection } from '../check/check-connection.js';
import { ok, probe, weaker, type Finding, type Measured } from './probe.js';
import type { ProbeBroker } from './probe-broker.js';

export const QUEUE_PROBE_MESSAGES = 2000;
/** A queue that is still full may drop a marker, or a message for it. */
const QUIET_MS = 1000;
const MARKER_MS = 1000;
const MARKER = 'marker';

export interface AbsentQueue extends Measured {
  published: number;
  delivered: number;
  /** Whether the broker still had the session. */
  session_kept: boolean;
}

export const absentQueue = probe<AbsentQueue>({
  name: 'queue while absent',
  needed: `keeps what clients publish while no ingester runs; tried with ${QUEUE_PROBE_MESSAGES}`,
  limitMs: 15_000,
  measure: measureAbsentQueue,
  judge: judgeAbsentQueue,
});

/** A broker with a limit drops messages here, and counts them; the count of Mosquitto requests one sweep. */
export async function measureAbsentQueue(broker: ProbeBroker): Promise<AbsentQueue> {
  const lane = await broker.client({ keepsSession: true });
  await lane.subscribeAll([broker.topics.shared('queue/+')]);
  await lane.leave();
  const device = await broker.client();
  await device.publishAll(
    Array.from({ length: QUEUE_PROBE_MESSAGES }, (_, i) => ({
      topic: broker.topics.at(`queue/${i % 50}`),
      payload: `${i}`,
    })),
  );
  const back = await broker.client({ clientId: lane.clientId, keepsSession: true });
  await untilDrained(broker, back, device);
  return { published: QUEUE_PROBE_MESSAGES, delivered: deliveredTo(back), session_kept: back.sessionPresent };
}

/**
 * Waits until the broker has delivered all that it kept. Silence does not prove that, because a broker may be slow. Markers do,
 * which go through the same queue: it is empty if nothing came between two of them.
 */
async function untilDrained(broker: ProbeBroker, lane: CheckConnection, device: CheckConnection): Promise<void> {
  if (!lane.sessionPresent) return;
  await lane.untilQuiet(QUIET_MS, QUEUE_PROBE_MESSAGES);
  let before: number;
  let delivered = -1;
  do {
    before = delivered;
    await passMarker(broker, lane, device, `${MARKER} behind ${before}`);
    delivered = deliveredTo(lane);
  } while (delivered !== before && delivered < QUEUE_PROBE_MESSAGES);
}

/** A broker may drop a marker, so another one follows until one comes. */
async function passMarker(
  broker: ProbeBroker,
  lane: CheckConnection,
  device: CheckConnection,
  payload: string,
): Promise<void> {
  const hasCome = (): boolean => lane.received.some((one) => one.payload === payload);
  do {
    broker.stopIfEnded();
    await device.publish({ topic: broker.topics.at(`queue/${MARKER}`), payload });
  } while (!(await lane.until(hasCome, MARKER_MS)));
}

/** A message may come twice. */
function deliveredTo(lane: CheckConnection): number {
  return new Set(lane.received.map(({ payload }) => payload).filter((payload) => !payload.startsWith(MARKER))).size;
}

export function judgeAbsentQueue({ published, delivered, session_kept: isKept }: AbsentQueue): Finding {
  const text = `${delivered} of ${published} delivered later`;
  if (!isKept)
    return weaker(`${text}: the broker no longer had the session`, 'all of them are lost; a sweep repairs states');
  if (delivered >= published) return ok(text, 'nothing is lost in a pause of that size');
  return weaker(
    text,
    'beyond that, messages are lost although the broker acknowledges them; a sweep repairs states: raise the limit',
  );
}
