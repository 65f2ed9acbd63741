/** `reconnect_after` of a force-disconnect: RFC 3339 timestamp, ISO 8601 duration, or `never`. */
import { z } from 'zod';

const timestamp = z.iso.datetime({ offset: true });
const DURATION =
  /^P(?:(\d{1,4})W|(?:(\d{1,5})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9}(?:\.\d{1,3})?)S)?)?)$/;

/**
 * The three forms in a regular expression that other languages know too, so without a look ahead: it also matches a duration
 * without any part, and days that a month does not have.
 */
export const RECONNECT_AFTER_PATTERN =
  '^(never|P([0-9]{1,4}W|([0-9]{1,5}D)?(T([0-9]{1,6}H)?([0-9]{1,8}M)?([0-9]{1,9}(\\.[0-9]{1,3})?S)?)?)|' +
  '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))$';

const MAX_WINDOW_MS = 10 * 365 * 86_400_000;

/** Until when handshakes of the client are refused: epoch milliseconds, or `never` to wait for an operator. */
export type RefusedUntil = number | 'never';

/**
 * Reads `reconnect_after` relative to `now` (epoch milliseconds).
 * @returns the end of the refusal window; `undefined` if the text has none of the three forms, is a duration with years or
 * months (which have no fixed length), or means a time more than ten years ahead
 */
export function parseReconnectAfter(text: string, now: number): RefusedUntil | undefined {
  if (text === 'never') return 'never';
  const windowMs = parseDuration(text) ?? (timestamp.safeParse(text).success ? Date.parse(text) - now : undefined);
  if (windowMs === undefined || Number.isNaN(windowMs) || windowMs > MAX_WINDOW_MS) return undefined;
  return now + windowMs;
}

function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null || text === 'P') return undefined;
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part || 0));
  return Math.round(((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000);
}
