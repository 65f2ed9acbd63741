/** The documents agree with the code: settings, metrics, refusals and statuses, links, npm scripts. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describeSettings } from '@app/platform';
import { INBOUND_SCHEMAS, REFUSAL_REASONS } from '@app/protocol';
import { MESSAGE_STATUSES, OFFLINE_REASONS } from '@app/registry';
import type { z } from 'zod';
import { gatewaySettings } from '../../apps/api-gateway/src/gateway.settings.js';
import { dispatcherSettings } from '../../apps/dispatcher/src/dispatcher.settings.js';
import { ingesterSettings } from '../../apps/status-ingester/src/ingester.settings.js';
import { CONFIGURATION, configurationPage } from '../../scripts/configuration-page.mjs';

const ROOT = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'dist', 'coverage']);

/** Files below a folder with one of these endings, as paths from the root. */
function files(folder: string, ...endings: string[]): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || SKIPPED.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path, ...endings);
    return endings.some((ending) => path.endsWith(ending)) ? [path] : [];
  });
}

const MARKDOWN = files('.', '.md');

/** The text below a heading, up to the next heading of its level or above. */
function section(text: string, heading: string): string {
  const lines = text.split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`no heading "${heading}"`);
  const level = heading.indexOf(' ');
  const length = lines.slice(start + 1).findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level);
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n');
}

/** Rows of the tables of a text, each as its cells. */
function rows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

/** What a word in code font says, or undefined for other text. */
function code(cell: string | undefined): string | undefined {
  return /^`([^`]+)`$/.exec(cell ?? '')?.[1];
}

describe('docs/configuration.md', () => {
  const APPS = {
    'api-gateway': gatewaySettings.shape,
    'status-ingester': ingesterSettings.shape,
    dispatcher: dispatcherSettings.shape,
  };

  /** As the table shows it: the text that, set as the variable, means the same as leaving it unset. */
  function shownDefault(schema: z.core.$ZodType): string {
    const { def } = schema._zod as unknown as {
      def: { type: string; in?: z.core.$ZodType; defaultValue?: unknown };
    };
    if (def.type === 'default') return `\`${String(def.defaultValue)}\``;
    if (def.type === 'optional') return 'unset';
    return def.type === 'pipe' && def.in !== undefined ? shownDefault(def.in) : 'required';
  }

  /** The default of each setting of an app, in the parts of the page that are about it. */
  function documented(app: string): Record<string, string> {
    const page = read('docs/configuration.md');
    const headings = (page.match(/^## .*$/gm) ?? []).filter(
      (heading) => heading === '## All apps' || heading.slice(3).split(' and ').includes(app),
    );
    const settings = headings.flatMap((heading) => rows(section(page, heading)).filter(([name]) => name !== 'name'));
    return Object.fromEntries(
      settings.map(([name = '', , byDefault = '']) => [code(name) ?? name, byDefault.replace(/ \(.*\)$/, '')]),
    );
  }

  function expected(shape: Readonly<Record<string, z.core.$ZodType>>): Record<string, string> {
    return Object.fromEntries(Object.entries(shape).map(([name, schema]) => [name, shownDefault(schema)]));
  }

  test.each(Object.entries(APPS))('has every setting of %s with its default, and no other', (app, shape) => {
    expect(documented(app)).toEqual(expected(shape));
  });

  test('is what the settings make of it; if not, run `npm run generate`', () => {
    const described = Object.entries(APPS).map(([app, shape]) => [app, describeSettings(shape)] as const);
    expect(readFileSync(CONFIGURATION, 'utf8')).toBe(configurationPage(Object.fromEntries(described)));
  });
});

test('README.md is at most 150 lines long and names the test command', () => {
  const text = read('README.md');
  expect(text.split('\n').length - 1).toBeLessThanOrEqual(150);
  expect(text).toContain('npm test');
});

test('every metric is in docs/operations.md, with its labels, and no other', () => {
  const suffixes = { counter: '_total', gauge: '', secondsHistogram: '_seconds' } as const;
  const declared = files('apps', '.ts')
    .concat(files('libs', '.ts'))
    .filter((path) => !path.endsWith('.spec.ts'))
    .flatMap((path) =>
      Array.from(
        read(path).matchAll(
          /\b(counter|gauge|secondsHistogram)\(\s*'(\w+)',\s*(?:'[^']*'|"[^"]*"),?\s*(?:\[([^\]]*)\]|\{([^}]*)\})?/g,
        ),
        ([, kind = '', name = '', labels = '', labelsWithValues = '']): [string, string[]] => [
          `cloud_connector_${name}${suffixes[kind as keyof typeof suffixes]}`,
          [...labels.matchAll(/'(\w+)'/g), ...labelsWithValues.matchAll(/\b(\w+):/g)].map(([, label = '']) => label),
        ],
      ),
    );
  expect(declared.length).toBeGreaterThan(10);
  const documented = Array.from(
    section(read('docs/operations.md'), '## Metrics').matchAll(/^- `(cloud_connector_\w+)`(?: \(([^)]*)\))?: /gm),
    ([, name = '', labels = '']): [string, string[]] => [
      name,
      Array.from(labels.matchAll(/`(\w+)`/g), ([, label = '']) => label),
    ],
  );
  const byName = (a: [string, unknown], b: [string, unknown]): number => a[0].localeCompare(b[0]);
  expect(documented.toSorted(byName)).toEqual(declared.toSorted(byName));
});

test('docs/protocol.md has every reason of a refusal, and no other', () => {
  const table = rows(section(read('docs/protocol.md'), '## What is refused, and why')).slice(1);
  expect(table.map(([reason]) => code(reason)).toSorted()).toEqual(REFUSAL_REASONS.toSorted());
});

test('docs/protocol.md has every inbound type, and every reason to be offline', () => {
  const text = read('docs/protocol.md');
  for (const type of Object.keys(INBOUND_SCHEMAS)) expect(section(text, `### ${type}`)).toContain(`"type": "${type}"`);
  const offline = section(text, '### offline');
  for (const reason of OFFLINE_REASONS) expect(offline).toContain(`\`${reason}\``);
});

test('docs/clients.md has every status of a message', () => {
  const table = rows(section(read('docs/clients.md'), '## The REST API')).map(([cell]) => code(cell));
  expect(table).toEqual(expect.arrayContaining([...MESSAGE_STATUSES]));
});

/** The anchor GitHub makes of a heading. */
function anchor(heading: string): string {
  const text = heading.replace(/^#+ /, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

function withoutCodeBlocks(text: string): string {
  return text.replace(/^```.*?^```$/gms, '');
}

test.each(MARKDOWN)('links of %s lead somewhere', (path) => {
  const text = withoutCodeBlocks(read(path));
  const links = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, target = '']) => target);
  const broken = links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [file = '', fragment] = link.split('#');
    const target = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), file));
    if (target.startsWith('..') || !existsSync(join(ROOT, target))) return true;
    if (fragment === undefined || !target.endsWith('.md')) return false;
    const headings = withoutCodeBlocks(read(target)).match(/^#+ .*$/gm) ?? [];
    return !headings.map(anchor).includes(fragment);
  });
  expect(broken).toEqual([]);
});

/** Decisions and changes name the files of their day. */
const OF_TODAY = MARKDOWN.filter((path) => !path.startsWith('docs/adr/') && path !== 'CHANGELOG.md');
const SOURCES = files('.', '.ts', '.mjs', '.lua');

test.each(OF_TODAY)('source files that %s names exist, by their path or the end of it', (path) => {
  const named = Array.from(read(path).matchAll(/`([\w./-]+\.(?:ts|mjs|lua))`/g), ([, file = '']) => file);
  const missing = named.filter((file) => !SOURCES.some((source) => `/${source}`.endsWith(`/${file}`)));
  expect(missing).toEqual([]);
});

test('texts of the apps and scripts that docs/troubleshooting.md quotes as symptoms are in the code', () => {
  const source = [...files('apps', '.ts'), ...files('libs', '.ts'), ...files('scripts', '.mjs')]
    .filter((path) => !path.endsWith('.spec.ts'))
    .map((path) => read(path).replaceAll("\\'", "'"))
    .join('\n');
  const symptoms = rows(read('docs/troubleshooting.md')).map(([symptom = '']) => symptom);
  const quoted = symptoms.flatMap((text) => Array.from(text.matchAll(/`([^`]* [^`]*)`/g), ([, quote = '']) => quote));
  const parts = quoted.flatMap((quote) => quote.split(/…|: /)).filter((part) => part.trim().includes(' '));
  expect(parts.length).toBeGreaterThan(20);
  expect(parts.filter((part) => !source.includes(part.trim()))).toEqual([]);
});

test.each(MARKDOWN)('npm scripts that %s names exist', (path) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = Array.from(
    read(path).matchAll(/\bnpm (?:run (?:--silent )?([\w:-]+)|(start|test)\b)/g),
    ([, ran, short]) => ran ?? short ?? '',
  );
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

test('CONTRIBUTING.md names every script that checks or builds', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const text = read('CONTRIBUTING.md');
  const missing = Object.keys(scripts).filter((name) => {
    const command = name === 'test' || name === 'start' ? `npm ${name}` : `npm run ${name}`;
    return name !== 'demo' && !text.includes(command);
  });
  expect(missing).toEqual([]);
});

test('decisions are numbered without a gap', () => {
  const names = readdirSync(join(ROOT, 'docs/adr'));
  expect(names.toSorted().map((name) => Number(name.slice(0, 4)))).toEqual(names.map((_, i) => i + 1));
  for (const name of names) expect(read(`docs/adr/${name}`)).toMatch(new RegExp(`^# ${name.slice(0, 4)}: `));
});
