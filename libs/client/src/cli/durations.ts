/** Durations as people write them, `1h30m`, and as ISO 8601 does, `PT1H30M`. */

const PLAIN = /^(?<s>\d{1,9})$/;
const HUMAN = /^(?=\d)(?:(?<w>\d{1,5})w)?(?:(?<d>\d{1,6})d)?(?:(?<h>\d{1,7})h)?(?:(?<m>\d{1,8})m)?(?:(?<s>\d{1,9})s)?$/;
const ISO =
  /^P(?=[\dT])(?:(?<w>\d{1,5})W)?(?:(?<d>\d{1,6})D)?(?:T(?=\d)(?:(?<h>\d{1,7})H)?(?:(?<m>\d{1,8})M)?(?:(?<s>\d{1,9})S)?)?$/;

const SECONDS: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 };

/** Seconds; a number without a unit is in seconds. Undefined if the text is no duration. */
export function secondsOf(text: string): number | undefined {
  const found = PLAIN.exec(text) ?? HUMAN.exec(text) ?? ISO.exec(text);
  if (found === null) return undefined;
  const parts = Object.entries((found.groups ?? {}) as Record<string, string | undefined>);
  return parts.reduce((sum, [unit, value]) => sum + Number(value ?? 0) * (SECONDS[unit] ?? 0), 0);
}

/** `30 days`, or `60s` if it is no whole number of days. */
export function durationText(seconds: number): string {
  const days = seconds / 86_400;
  if (!Number.isInteger(days)) return `${seconds}s`;
  return days === 1 ? '1 day' : `${days} days`;
}

/** Milliseconds for people: `8 ms`, `1.4 s`, `2m5s`. */
export function millisecondsText(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${Math.round(ms / 100) / 10} s`;
  const seconds = Math.round(ms / 1000);
  const [hours, minutes, left] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  return hours > 0 ? `${hours}h${minutes}m` : `${minutes}m${left}s`;
}
