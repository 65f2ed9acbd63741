/** Why an answer matches no message of its client: it is unknown, was for another client or account, was never claimed, or is final. */
export const UNMATCHED_REASONS = ['unknown', 'foreign', 'not-published', 'already-final'] as const;
export type UnmatchedReason = (typeof UNMATCHED_REASONS)[number];
