/** JavaScript rounds large integers and long fractions. The tool refuses them: the device would get another number than was written. */
import { UsageError } from './failures.js';

/** Strings, so that digits in them are passed over, and numbers. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** @param what the text is, for the error. @throws UsageError if a number of a JSON text would change */
export function refuseRoundedNumbers(json: string, what = 'the payload'): void {
  for (const [token] of json.matchAll(TOKENS)) {
    if (token.startsWith('"')) continue;
    const read = Number(token);
    if (valueOf(token) === valueOf(String(read))) continue;
    const why = Number.isFinite(read) ? `this tool would send as ${read}` : 'is too large for this tool';
    throw new UsageError(`${what} has the number ${token}, which ${why}; send it as a string, or use curl`);
  }
}

/** The decimal digits without zeros at the ends, and the exponent: texts of equal numbers give the same. */
function valueOf(text: string): string {
  const [, sign = '', whole = '', after = '', scale = '0'] = NUMBER.exec(text) ?? [];
  const all = (whole + after).replace(/^0+/, '');
  const shown = all.replace(/0+$/, '');
  if (shown === '') return whole === '' ? text : '0';
  return `${sign}${shown}e${Number(scale) - after.length + all.length - shown.length}`;
}
