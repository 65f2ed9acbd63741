/** Checks the numbers that a caller passes, before anything is sent: each error names the option, the remedy and what was passed. */

const DAY_MS = 86_400_000;

/** In whole days, the longest that a timer runs: a longer one would end at once. */
export const LONGEST_TIMER_MS = 24 * DAY_MS;

/** The smallest and the greatest value of each number that an operation takes. */
export type Ranges = Readonly<Record<string, readonly [least: number, most: number]>>;

/** @throws RangeError unless it is absent, or more than 0 and at most `most` */
export function checkMs(name: string, ms: number | undefined, most = LONGEST_TIMER_MS): void {
  if (ms === undefined || (typeof ms === 'number' && ms > 0 && ms <= most)) return;
  const range = `more than 0 and at most ${most} ms (${most / DAY_MS} days)`;
  throw new RangeError(`${name} must be ${range}, or left out, not ${shown(ms)}`);
}

/** @throws RangeError for a member that is in `ranges` and not a whole number of its range */
export function checkRanges(members: Readonly<Record<string, unknown>>, ranges: Ranges): void {
  for (const [name, [least, most]] of Object.entries(ranges)) {
    const value = members[name];
    if (value === undefined) continue;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) continue;
    throw new RangeError(`${name} must be a whole number from ${least} to ${most}, or left out, not ${shown(value)}`);
  }
}

const TIMEOUT_MS = 30_000;
/** How much longer than its wait a request may take. */
export const REPLY_MS = 10_000;

/**
 * The time limit of a request; the default one grows with its wait. The service ignores a wait that it does not understand. Lists of
 * preferences are left to it. @throws RangeError
 */
export function limitOf(prefer: string | undefined, timeoutMs: number | undefined): number {
  if (prefer === undefined || !/^wait[^,;"]*$/.test(prefer)) return timeoutMs ?? TIMEOUT_MS;
  const [, seconds] = /^wait=([1-9]|[1-5]\d|60)$/.exec(prefer) ?? [];
  if (seconds === undefined)
    throw new RangeError(`prefer must be wait=N with a whole number of seconds from 1 to 60, not ${shown(prefer)}`);
  const waitMs = Number(seconds) * 1000;
  if (timeoutMs === undefined) return Math.max(TIMEOUT_MS, waitMs + REPLY_MS);
  if (timeoutMs > waitMs) return timeoutMs;
  throw new RangeError(`timeoutMs must be more than the ${seconds} s of prefer "${prefer}", not ${timeoutMs} ms`);
}

/** As JSON, which would have null in place of NaN and Infinity: so only a text with null is looked at. @throws RangeError for those */
export function jsonOf(body: unknown): string {
  const text = JSON.stringify(body);
  if (text.includes('null')) JSON.stringify(body, refuseOthers);
  return text;
}

function refuseOthers(name: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw new RangeError(`${name} must be a finite number, or null, or left out, not ${value}: JSON has no other`);
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
