/** How many characters of a boot id are shown: enough to tell processes of one name from each other. */
const SHOWN = 8;

/** The begin of the boot id; undefined if no other process of the list has the same name. */
export function shortBootId(id: string, names: readonly string[]): string | undefined {
  const end = id.lastIndexOf('/');
  const name = id.slice(0, end);
  return end >= 0 && names.filter((each) => each === name).length > 1 ? id.slice(end + 1, end + 1 + SHOWN) : undefined;
}
