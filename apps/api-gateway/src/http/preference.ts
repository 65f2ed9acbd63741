/** The header `Prefer` (RFC 7240). A preference that is not understood, or not served, is ignored. */
const LONGEST_WAIT_SECONDS = 60;

/** Preferences with their parameters, which no preference here has; a quoted text may hold any of the separators. */
const PREFERENCE =
  /\s*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?((?:[^,"]|"(?:[^"\\]|\\.)*")*)/y;

/** The seconds of `wait`, 1 to 60; undefined if the header does not ask for a wait, or for one that is not served. */
export function preferredWait(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  PREFERENCE.lastIndex = 0;
  for (;;) {
    const [all, name = '', quoted, plain] = PREFERENCE.exec(header) ?? [];
    if (all === undefined) return undefined;
    // Of a preference that occurs several times, the first one counts.
    if (name.toLowerCase() === 'wait') return secondsOf(quoted ?? plain ?? '');
    if (header[PREFERENCE.lastIndex] !== ',') return undefined;
    PREFERENCE.lastIndex++;
  }
}

function secondsOf(text: string): number | undefined {
  if (!/^\d{1,4}$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds >= 1 && seconds <= LONGEST_WAIT_SECONDS ? seconds : undefined;
}
