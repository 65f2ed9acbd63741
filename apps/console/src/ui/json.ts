/** JSON as people write it into a field. */
import { parseTree, printParseErrorCode, type ParseError } from 'jsonc-parser';

export type Parsed = { value: unknown } | { fault: string };

/** A fault names its line and column. An empty text is no value. */
export function parseJson(text: string): Parsed {
  if (text.trim() === '') return { value: undefined };
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { fault: placeOf(text) ?? (error instanceof Error ? error.message : String(error)) };
  }
}

/** `JSON.parse` names the place of a fault in some browsers, and for some faults only. */
function placeOf(text: string): string | undefined {
  const errors: ParseError[] = [];
  parseTree(text, errors, { disallowComments: true });
  const [first] = errors;
  if (first === undefined) return undefined;
  const lines = text.slice(0, first.offset).split('\n');
  const column = (lines.at(-1) ?? '').length + 1;
  return `Line ${lines.length}, column ${column}: ${wordsOf(printParseErrorCode(first.error))}`;
}

/** `CommaExpected` as `comma expected`. */
function wordsOf(code: string): string {
  return code.replace(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).toLowerCase();
}
