/** How many messages the broker keeps for the session of a lane while no ingester runs. */
import { ok, probe, weaker, type Finding, type Measured } from './probe.js';
import type { ProbeBroker } from './probe-broker.js';

export const QUEUE_PROBE_MESSAGES = 2000;
const QUIET_MS = 1000;

export interface AbsentQueue extends Measured {
  published: number;
  delivered: number;
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
  await back.untilQuiet(QUIET_MS, QUEUE_PROBE_MESSAGES);
  return { published: QUEUE_PROBE_MESSAGES, delivered: back.received.length };
}

export function judgeAbsentQueue({ published, delivered }: AbsentQueue): Finding {
  const text = `${delivered} of ${published} delivered later`;
  if (delivered >= published) return ok(text, 'nothing is lost in a pause of that size');
  return weaker(
    text,
    'beyond that, messages are lost although the broker acknowledges them; a sweep repairs states: raise the limit',
  );
}
