const UNITS: [seconds: number, unit: string][] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
];

/** Such as `5 s ago`, `in 2 h`, `now`. */
export function relativeTime(at: string, nowMs: number): string {
  const seconds = Math.round((nowMs - Date.parse(at)) / 1000);
  if (Math.abs(seconds) < 1) return 'now';
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
}

/** The largest unit only, such as `3 h`. */
export function duration(seconds: number): string {
  const [size, unit] = UNITS.find(([each]) => seconds >= each) ?? [1, 's'];
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** Milliseconds as people read them: `8 ms`, `1.4 s`, `3 min`. */
export function milliseconds(ms: number): string {
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  return duration(ms / 1000);
}

const OF_24_HOURS = { hourCycle: 'h23' } as const;
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long', ...OF_24_HOURS });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', ...OF_24_HOURS });
const HOUR_AND_MINUTE = new Intl.DateTimeFormat(undefined, { timeStyle: 'short', ...OF_24_HOURS });
const DAY = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

export function exactTime(at: string): string {
  return `${EXACT.format(new Date(at))} (${at})`;
}

/** The time of today, or with its day. */
export function clockTime(at: string): string {
  const date = new Date(at);
  const clock = CLOCK.format(date);
  return date.toDateString() === new Date().toDateString() ? clock : `${DAY.format(date)}, ${clock}`;
}

/** Such as `09:30`, for an axis. `seconds`: since the epoch. */
export function hourAndMinute(seconds: number): string {
  return HOUR_AND_MINUTE.format(new Date(seconds * 1000));
}
