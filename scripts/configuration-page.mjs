/** Generates docs/configuration.md from the settings schemas. */
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

export const CONFIGURATION = join(ROOT, 'docs/configuration.md');

const INTRODUCTION = `# Configuration

This page is made by \`npm run generate\` from the settings of the code: change it there.

Every setting is an environment variable. An empty variable counts as unset. If a value is wrong, the app does not start;
the error names the variable and what it accepts. A duration is a number with a unit: \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`.
A size in bytes is written as a plain number.

\`npm start\` passes its environment on to the apps, except \`HOST\` and \`PORT\`, which it sets.
[Operations](operations.md#settings-that-matter) says which settings to decide before the first start,
[Capacity](capacity.md) how to size the limits.

Three variables are not settings of the apps: \`NODE_EXTRA_CA_CERTS\` names a file with certificates of your own authority, for
Redis and the broker; \`NODE_OPTIONS=--max-old-space-size=576\` limits the heap of a process, in MiB
([how much](capacity.md#memory-of-a-gateway)); \`MALLOC_ARENA_MAX=2\`, which the images set, keeps its other memory small.
`;

/**
 * @typedef {import('../libs/platform/src/setting-docs.js').SettingDescription} Setting
 * @param {Readonly<Record<string, Setting[]>>} settingsOfApps by the name of the app
 * @returns {string} Markdown, as Prettier formats it
 */
export function configurationPage(settingsOfApps) {
  const apps = Object.keys(settingsOfApps);
  /** @type {Map<string, { setting: Setting, apps: string[] }>} */
  const rows = new Map();
  for (const [app, settings] of Object.entries(settingsOfApps)) {
    for (const setting of settings) {
      const identity = JSON.stringify(setting);
      const row = rows.get(identity) ?? { setting, apps: [] };
      row.apps.push(app);
      rows.set(identity, row);
    }
  }
  const byApps = grouped([...rows.values()], (row) => row.apps.join(' and '));
  const widestFirst = [...byApps].toSorted(([, [a]], [, [b]]) => (b?.apps.length ?? 0) - (a?.apps.length ?? 0));
  const parts = widestFirst.map(([names, ofThem]) => {
    const heading = ofThem[0]?.apps.length === apps.length ? 'All apps' : names;
    const bySection = grouped(ofThem, ({ setting }) => setting.section);
    const tables = [...bySection].map(
      ([title, ofIt]) => `### ${title}\n\n${table(ofIt.map(({ setting }) => setting))}`,
    );
    return [`## ${heading}`, ...tables].join('\n\n');
  });
  return `${[INTRODUCTION.trimEnd(), ...parts].join('\n\n')}\n`;
}

/**
 * @template Item
 * @param {Item[]} items
 * @param {(item: Item) => string} keyOf
 * @returns {Map<string, Item[]>} in the order in which the keys come first
 */
function grouped(items, keyOf) {
  /** @type {Map<string, Item[]>} */
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

/** @param {Setting[]} settings */
function table(settings) {
  const cells = settings.map((setting) => [
    `\`${setting.name}\``,
    setting.values,
    defaultOf(setting),
    setting.meaning.replaceAll('|', '\\|'),
  ]);
  const all = [['name', 'values', 'default', 'meaning'], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (/** @type {string[]} */ row) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return [line(all[0] ?? []), rule, ...cells.map(line)].join('\n');
}

/** @param {Setting} setting */
function defaultOf({ byDefault, defaultSize, required }) {
  if (defaultSize !== undefined) return `\`${byDefault}\` (${defaultSize})`;
  if (byDefault !== undefined) return `\`${byDefault}\``;
  return required ? 'required' : 'unset';
}
