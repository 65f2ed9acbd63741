/** Times for people: how long ago. */

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const;

/** Such as `3m ago` or `in 2h`; the text itself if it is no time. */
export function relativeTime(text: string, now: number): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return text;
  const seconds = Math.round(Math.abs(now - at) / 1000);
  if (seconds === 0) return 'now';
  const [unit, size] = UNITS.find(([, many]) => seconds >= many) ?? ['s', 1];
  const age = `${Math.floor(seconds / size)}${unit}`;
  return at <= now ? `${age} ago` : `in ${age}`;
}

/** Whether a value is an RFC 3339 timestamp, as the service writes them. */
export function isTime(value: unknown): value is string {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value);
}
