/** A part of a JSON pointer (RFC 6901). */
export function pointerPart(part: PropertyKey): string {
  return String(part).replaceAll('~', '~0').replaceAll('/', '~1');
}
