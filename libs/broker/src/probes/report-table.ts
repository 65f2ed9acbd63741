/** The report of a check as a table of at most 100 columns. */
import type { ProbeReport } from './run-probes.js';
import type { Verdict } from './probe.js';

const WIDTHS = [20, 22, 25, 27] as const;
const GAP = '  ';
const SUMMARIES: Readonly<Record<Verdict, string>> = {
  ok: 'The service is right on this broker, and every promise holds.',
  weaker: 'The service is right on this broker; some promises are weaker.',
  wrong: 'The service would be wrong on this broker.',
  unknown: 'What the service cannot do without could not be probed.',
};

export function reportLines({ verdict, duration_ms: ms, probes }: ProbeReport): string[] {
  const rows = probes.map(({ probe, needed, found, verdict: own, meaning }) => [
    probe,
    needed,
    found,
    own === 'ok' ? meaning : `${own.toUpperCase()}: ${meaning}`,
  ]);
  const lines = [['PROBE', 'NEEDED', 'FOUND', 'MEANING'], ...rows].flatMap((row) => [...rowLines(row), '']);
  return [...lines, `${SUMMARIES[verdict]} (${Math.round(ms / 1000)} s)`];
}

function rowLines(cells: readonly string[]): string[] {
  const wrapped = WIDTHS.map((width, column) => wrap(cells[column] ?? '', width));
  const height = Math.max(...wrapped.map(({ length }) => length));
  return Array.from({ length: height }, (_, line) =>
    wrapped
      .map((lines, column) => (lines[line] ?? '').padEnd(WIDTHS[column] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

/** Breaks a text at its spaces; longer words are broken anywhere. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((one) => one.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [])) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
