/** Which files the rules for words are about, and how their text is read. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'dist', 'coverage', 'generated', 'adr', 'data-0.1.0']);
const SOURCES = ['.ts', '.tsx', '.mjs', '.cjs', '.lua', '.sh', '.py', '.c', '.go'];

/** Files of ours whose declared names must be known words. */
export const CODE = ['apps', 'libs'].flatMap((folder) => filesOf(folder, ['.ts', '.lua']));

/** Files in which no banned word may stand: code, tests, scripts and documents of today. Decisions of the past keep theirs. */
export const TEXTS = [
  ...['apps', 'libs', 'clients', 'test', 'scripts', 'bench', 'examples', 'k8s'].flatMap((folder) =>
    filesOf(folder, [...SOURCES, '.md', '.yaml', '.yml']),
  ),
  ...filesOf('docs', ['.md', '.yaml']),
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
].filter((path) => !path.startsWith('test/contracts/banned-words') && path !== 'bench/RESULTS.md');

function filesOf(folder: string, endings: readonly string[]): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || SKIPPED.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesOf(path, endings);
    return endings.some((ending) => path.endsWith(ending)) ? [path] : [];
  });
}

/** A line in lower case, with names taken apart: `lastHeldAt` and `last_held_at` become `last held at`. */
export function spelledOut(line: string): string {
  return line
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase();
}

/** The comments of a TypeScript or Lua file: its lines, each without what is no comment. */
export function commentsOf(path: string, lines: readonly string[]): string[] {
  if (path.endsWith('.lua')) return lines.map((line) => /--.*$/.exec(line)?.[0] ?? '');
  return lines.map((line) => /^\s*(?:\/\*|\*|\/\/).*$|(?<=\s)\/[/*]\s.*$/.exec(line)?.[0] ?? '');
}
