/** Whether the PUBACK says that nobody listens. */
import { NO_MATCHING_SUBSCRIBERS } from '../publish-outcome.js';
import { ok, probe, weaker, wrong, type Finding, type Measured } from './probe.js';

export interface NoSubscribers extends Measured {
  without: number;
  with: number;
}

export const noSubscribers = probe<NoSubscribers>({
  name: 'PUBACK without subscribers',
  needed: '0x10 if nobody subscribes to the topic, and 0x00 if somebody does',
  limitMs: 5000,
  measure: async (broker) => {
    const topic = broker.topic('out');
    const [dispatcher, device] = [await broker.client(), await broker.client()];
    const without = await dispatcher.publish({ topic, payload: 'x' });
    await device.subscribe([topic]);
    return { without, with: await dispatcher.publish({ topic, payload: 'x' }) };
  },
  judge: judgeNoSubscribers,
});

export function judgeNoSubscribers(found: NoSubscribers): Finding {
  const text = `${hex(found.without)} without, ${hex(found.with)} with a subscriber`;
  if (found.with === NO_MATCHING_SUBSCRIBERS)
    return wrong(text, 'a message that was delivered counts as held, and is published again and again');
  if (found.without !== NO_MATCHING_SUBSCRIBERS)
    return weaker(text, 'a message to a client that does not listen is `sent`, never `held`');
  return ok(text, 'a message waits as `held` until its client listens');
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}
