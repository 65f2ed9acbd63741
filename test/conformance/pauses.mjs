/** Judges the pauses of devices that lost their broker at the same moment and are refused. Pure: times in, faults out. */

/** So long the broker refuses them. */
export const REFUSAL_MS = 10_000;
/** Enough devices to see that their pauses are alike. */
export const DEVICES = 3;
/** The pauses that are compared. */
export const PAUSES = 3;
/**
 * With full jitter and limits of 2, 4, 8 … seconds three devices make 12 attempts in 10 s on average; more than 15 come once in a
 * million runs. A slow machine makes fewer.
 */
const MOST_ATTEMPTS = 15;
/** Pauses are alike if they differ by less than this share of their mean, each of them on all devices. */
const ALIKE = 0.15;

/**
 * Of each device, in milliseconds: when its connection broke, then each attempt.
 * @typedef {readonly (readonly number[])[]} Attempts
 */

/** @param {Attempts} attempts @returns {string | undefined} what shows that the pauses do not grow */
export function backOffFault(attempts) {
  const counts = attempts.map(([from = 0, ...times]) => times.filter((time) => time <= from + REFUSAL_MS).length);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= MOST_ATTEMPTS) return undefined;
  return `${attempts.length} devices made ${total} attempts in ${REFUSAL_MS / 1000} s; with back-off they make ${MOST_ATTEMPTS} at most`;
}

/** @param {Attempts} attempts @returns {string | undefined} what shows that the pauses are not random */
export function jitterFault(attempts) {
  const pauses = attempts.map((times) => times.slice(1, 1 + PAUSES).map((time, i) => time - (times[i] ?? 0)));
  const rounds = Array.from({ length: PAUSES }, (_, i) => pauses.map((one) => one[i] ?? 0));
  if (!rounds.every(areAlike)) return undefined;
  return `${attempts.length} devices paused alike: ${pauses.map((one) => one.map(inSeconds).join(', ')).join(' | ')} s`;
}

/** @param {number[]} pauses of one round */
function areAlike(pauses) {
  const mean = pauses.reduce((sum, pause) => sum + pause, 0) / pauses.length;
  return Math.max(...pauses) - Math.min(...pauses) <= ALIKE * mean;
}

/** @param {number} ms */
function inSeconds(ms) {
  return (ms / 1000).toFixed(2);
}
