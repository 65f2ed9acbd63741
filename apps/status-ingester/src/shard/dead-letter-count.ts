import { counter } from '@app/platform';

/** All of them, those included that are not kept. */
export const deadLettered = counter('dead_letters', 'Messages that could not be processed, by reason.', ['reason']);
