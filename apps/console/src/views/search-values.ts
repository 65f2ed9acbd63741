/** Values of the query of an address. Whoever edits the address may write anything there: what is not valid counts as absent. */
export type Search = Record<string, unknown>;

export function textIn(search: Search, name: string): string | undefined {
  const value = search[name];
  if (typeof value === 'number' || typeof value === 'boolean') return `${value}`;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function oneOf<Value extends string>(search: Search, name: string, values: readonly Value[]): Value | undefined {
  return values.find((value) => value === search[name]);
}

export function flagIn(search: Search, name: string): true | undefined {
  return search[name] === true || search[name] === 'true' ? true : undefined;
}
