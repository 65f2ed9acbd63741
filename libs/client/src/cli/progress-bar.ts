/** A line that shows how far the work of a client has come. */
import stringWidth from 'string-width';
import { printable } from './printable.js';

const BAR = 20;

/** @param percent null if the client does not say it @param columns of the terminal */
export function progressBar(percent: number | null, details: string, columns: number): string {
  let bar = '';
  if (percent !== null) {
    const shown = Math.min(100, Math.max(0, percent));
    const done = Math.round((BAR * shown) / 100);
    bar = `[${'#'.repeat(done)}${' '.repeat(BAR - done)}] ${String(Math.round(shown)).padStart(3)} %  `;
  }
  let line = '';
  // A line that wraps cannot be written over.
  for (const { segment } of new Intl.Segmenter().segment(bar + printable(details))) {
    if (stringWidth(line + segment) >= columns) break;
    line += segment;
  }
  return line;
}
