/**
 * In what two versions of an API document differ, apart from texts for people: descriptions, summaries and examples are
 * not compared, nor is the order of members, parameters, enumerated values and required names.
 */

/** Keywords whose value maps names to descriptions. A name among them is part of the API, even if it is "description". */
const NAME_MAPS = new Set([
  ...['properties', 'patternProperties', '$defs', 'definitions', 'paths', 'responses', 'headers', 'content', 'links'],
  ...['schemas', 'securitySchemes', 'requestBodies', 'callbacks', 'variables', 'mapping', 'encoding'],
  ...['channels', 'operations', 'messages', 'servers', 'parameters', 'replies', 'traits'],
]);

/** Lists in which the order means nothing. */
const SETS = new Set(['required', 'enum', 'type', 'parameters', 'tags']);

/**
 * @param {unknown} before @param {unknown} after two documents as JSON
 * @returns {string[]} a line for each difference, with its JSON pointer
 */
export function apiDifferences(before, after) {
  const [old, now] = [flatten(withoutTexts(before)), flatten(withoutTexts(after))];
  const pointers = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  return pointers.flatMap((pointer) => {
    const [was, is] = [old.get(pointer), now.get(pointer)];
    if (was === is) return [];
    if (was === undefined) return [`${pointer}: added: ${is}`];
    if (is === undefined) return [`${pointer}: removed: ${was}`];
    return [`${pointer}: was ${was}, is ${is}`];
  });
}

/** @param {unknown} value @param {string} [keyword] whose value it is; undefined for the value of a name @returns {unknown} */
function withoutTexts(value, keyword = '') {
  if (Array.isArray(value)) {
    const items = value.map((item) => withoutTexts(item));
    return SETS.has(keyword) ? Object.fromEntries(items.map((item) => [keyOf(item), item])) : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  // Values, not keywords: whatever they hold is part of the API.
  if (keyword === 'const' || keyword === 'default' || keyword === 'enum') return value;
  const members = Object.entries(value);
  if (NAME_MAPS.has(keyword)) return Object.fromEntries(members.map(([name, member]) => [name, withoutTexts(member)]));
  const kept = members.filter(([name, member]) => !isText(name, member));
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutTexts(member, name)]));
}

function isText(/** @type {string} */ keyword, /** @type {unknown} */ value) {
  if (keyword === 'example' || keyword === 'examples') return true;
  return (keyword === 'description' || keyword === 'summary') && typeof value === 'string';
}

/** Names an item of a set: a parameter by its place and name, anything else by its value. @param {unknown} item */
function keyOf(item) {
  const { in: place, name } = /** @type {{ in?: string, name?: string }} */ (item ?? {});
  return name === undefined ? JSON.stringify(item) : `${place} ${name}`;
}

/** @param {unknown} value @returns {Map<string, string>} JSON by JSON pointer, of all values without members */
function flatten(value, pointer = '', found = new Map()) {
  const members = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (members.length === 0) found.set(pointer, JSON.stringify(value));
  for (const [name, member] of members) {
    flatten(member, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, found);
  }
  return found;
}
