/** Colours, on a terminal only. `NO_COLOR` switches them off, `FORCE_COLOR` on. */
import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import type { Environment } from './args.js';

export type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow';

export type Colour = (style: Style | undefined, text: string) => string;

export const plain: Colour = (_, text) => text;

/** @param stream what the text is written to */
export function colourFor(stream: Writable & { isTTY?: boolean }, env: Environment): Colour {
  return hasColors(stream, env) ? colour : plain;
}

const colour: Colour = (style, text) =>
  style === undefined || text === '' ? text : styleText(style, text, { validateStream: false });

function hasColors({ isTTY }: { isTTY?: boolean }, env: Environment): boolean {
  // An empty value counts as unset: https://no-color.org
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined && forced !== '') return forced !== '0' && forced !== 'false';
  return isTTY === true && env['TERM'] !== 'dumb';
}

const STYLES: Readonly<Record<string, Style>> = {
  ...{ online: 'green', offline: 'red' },
  ...{ answered: 'green', sent: 'green', failed: 'red', unanswered: 'red', expired: 'red' },
  ...{ held: 'yellow', cancelled: 'dim', unfit: 'red', troubled: 'yellow' },
};

/** The colour of a state or status. */
export function styleOf(status: string): Style | undefined {
  return Object.hasOwn(STYLES, status) ? STYLES[status] : undefined;
}
