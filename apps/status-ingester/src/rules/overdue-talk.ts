/** What a client said, and that cannot wait any longer for its account: it becomes a dead letter. Pure. */
import { truncateDetails, type WaitingEntry } from '@app/registry';
import type { Effect, Rules } from './effect.js';

export function overdueTalk(clientId: string, entry: WaitingEntry, details: string, { inTopic }: Rules): Effect[] {
  const letter = {
    client_id: clientId,
    topic: inTopic,
    reason: 'account-unknown' as const,
    details,
    sample: sampleOf(entry),
  };
  const effects: Effect[] = [{ kind: 'dead-letter', letter, reason: 'account-unknown' }];
  if ('answer' in entry) {
    const note = {
      inResponseTo: entry.answer.inResponseTo,
      details: truncateDetails(`an answer did not count: ${details}`),
    };
    effects.push({ kind: 'note', note });
  }
  return effects;
}

/** The beginning of what the client said. */
function sampleOf(entry: WaitingEntry): string {
  if ('event' in entry) return JSON.stringify(entry.event).slice(0, 1024);
  const {
    inResponseTo: in_response_to,
    messageId: message_id,
    ...more
  } = 'answer' in entry ? entry.answer : entry.progress;
  return JSON.stringify({ message_id, in_response_to, ...more }).slice(0, 1024);
}
