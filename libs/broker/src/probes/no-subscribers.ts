/** Whether the PUBACK says that nobody listens. */
import { measurePubacks, type PubackCodes } from '../check/no-subscribers.js';
import { NO_MATCHING_SUBSCRIBERS } from '../publish-outcome.js';
import { ok, probe, weaker, wrong, type Finding } from './probe.js';

export const noSubscribers = probe({
  name: 'PUBACK without subscribers',
  needed: '0x10 if nobody subscribes to the topic, and 0x00 if somebody does',
  limitMs: 5000,
  measure: async (broker) => measurePubacks(await broker.client(), broker.topics),
  judge: judgeNoSubscribers,
});

export function judgeNoSubscribers(found: PubackCodes): Finding {
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
