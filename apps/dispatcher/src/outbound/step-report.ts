/** Counts what a step reports, and logs what an operator has to know. */
import { counter, type Logger } from '@app/platform';
import { LEFT_BECAUSE, type OutboundStep } from '@app/registry';

const left = counter('outbound_connections_left', 'Connections for which nothing is to be published now, by reason.', {
  reason: LEFT_BECAUSE,
});
const unreadable = counter('unreadable_messages', 'Stored messages that could not be read and have failed.');

export function reportStep(
  { left: counts, unreadable: count }: Pick<OutboundStep, 'left' | 'unreadable'>,
  shard: number,
  logger: Logger,
): void {
  for (const reason of LEFT_BECAUSE) if (counts[reason] > 0) left.inc({ reason }, counts[reason]);
  if (count === 0) return;
  unreadable.inc(count);
  logger.error({ shard, count }, 'these stored messages cannot be read: they have failed and are kept as dead letters');
}
