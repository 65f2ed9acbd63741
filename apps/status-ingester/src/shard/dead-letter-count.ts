import { counter, valuesOf } from '@app/platform';
import type { RefusalReason } from '@app/protocol';

const REASONS = valuesOf<RefusalReason>({
  empty: true,
  'too-large': true,
  'not-utf8': true,
  'not-json': true,
  'too-deep': true,
  'wrong-shape': true,
  'unknown-type': true,
  'unsupported-version': true,
  'not-retained': true,
  'wrong-topic': true,
  'refused-until': true,
  'reserved-id': true,
  flood: true,
  'internal-error': true,
});

/** All of them, those included that are not kept. */
export const deadLettered = counter('dead_letters', 'Messages that could not be processed, by reason.', {
  reason: REASONS,
});
