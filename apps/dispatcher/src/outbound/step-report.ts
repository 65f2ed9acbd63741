/** Counts what a step reports, and logs what an operator has to know. */
import { counter, type Logger } from '@app/platform';
import { LEFT_BECAUSE, type OutboundStep } from '@app/registry';

const left = counter('outbound_connections_left', 'Connections for which nothing is to be published now, by reason.', {
  reason: LEFT_BECAUSE,
});
const unreadable = counter('unreadable_messages', 'Stored messages that could not be read and have failed.');
const unknownOutcomes = counter(
  'messages_outcome_unknown',
  'Messages that failed when a dispatcher found that their time to live had ended and that a former one may have published them.',
);

export function reportStep(
  {
    left: counts,
    unreadable: count,
    outcomeUnknown: failed,
  }: Pick<OutboundStep, 'left' | 'unreadable' | 'outcomeUnknown'>,
  shard: number,
  logger: Logger,
): void {
  for (const reason of LEFT_BECAUSE) if (counts[reason] > 0) left.inc({ reason }, counts[reason]);
  if (failed > 0) {
    unknownOutcomes.inc(failed);
    logger.warn(
      { shard, failed },
      'messages failed: their time to live has ended, and a former dispatcher may have published them',
    );
  }
  if (count === 0) return;
  unreadable.inc(count);
  logger.error({ shard, count }, 'these stored messages cannot be read: they have failed and are kept as dead letters');
}
