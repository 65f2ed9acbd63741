/** The words of names, comments, texts and documents: none is banned, and none of a name is a stranger. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BANNED_WORDS, type BannedWord } from './banned-words.js';
import { declaredNames, partsOf } from './declared-names.js';
import { CODE, commentsOf, spelledOut, TEXTS } from './word-sources.js';
import { stemsOf } from './word-stems.js';

const ROOT = join(__dirname, '../..');
const COMMON_WORDS = 'test/contracts/common-words.txt';

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

interface Place {
  path: string;
  line: number;
  /** As it stands there. */
  shown: string;
  /** In lower case, with the parts of names apart: `max bytes per shard`. */
  text: string;
}

/** Declared names of the code. */
const names: Place[] = [];
const comments: Place[] = [];
const texts: Place[] = [];

for (const path of CODE) {
  const text = read(path);
  for (const { name, line } of declaredNames(path, text)) {
    names.push({ path, line, shown: name, text: partsOf(name).join(' ') });
  }
  for (const [i, comment] of commentsOf(path, text.split('\n')).entries()) {
    if (comment !== '') comments.push({ path, line: i + 1, shown: comment, text: spelledOut(comment) });
  }
}
for (const path of TEXTS) {
  for (const [i, line] of read(path).split('\n').entries()) {
    texts.push({ path, line: i + 1, shown: line, text: spelledOut(line) });
  }
}

const PLACES: Readonly<Record<BannedWord['in'], readonly Place[]>> = {
  names: names.filter(({ path }) => !path.endsWith('.spec.ts')),
  comments,
  texts,
};

describe('a banned word', () => {
  it.each(BANNED_WORDS.map((banned) => [String(banned.word), banned] as const))(
    '%s stands in no place that its list does not name',
    (_, { word, in: kind, instead, allowed = [] }) => {
      const allowedIn = new Map(allowed.map(({ path }) => [path, 0]));
      const found = PLACES[kind].filter(({ text }) => word.test(text));
      const wrong = found.filter(({ path }) => {
        const count = allowedIn.get(path);
        if (count !== undefined) allowedIn.set(path, count + 1);
        return count === undefined;
      });
      const unused = [...allowedIn].filter(([, count]) => count === 0).map(([path]) => path);
      expect({
        'say instead': instead,
        found: wrong.map(({ path, line, shown }) => `${path}:${line}: ${shown.trim()}`),
        'exceptions that match nothing any more: remove them from banned-words.ts': unused,
      }).toEqual({
        'say instead': instead,
        found: [],
        'exceptions that match nothing any more: remove them from banned-words.ts': [],
      });
    },
  );
});

describe('the parts of a declared name', () => {
  const REMEDY =
    `use a field term, or explain the word in docs/glossary.md; add it to ${COMMON_WORDS} only if an engineer who knows ` +
    'MQTT, Redis, NestJS and TypeScript knows it in this sense';
  const glossary = Array.from(read('docs/glossary.md').matchAll(/^\| ([^|]+) \|/gm), ([, term = '']) => term);
  const known = new Set([...glossary, ...commonWords()].flatMap((term) => term.toLowerCase().match(/[a-z]+/g) ?? []));

  it('are words of the glossary or common words', () => {
    const strangers = names.flatMap(({ path, line, shown, text }) =>
      text
        .split(' ')
        .filter((part) => part.length > 1 && !stemsOf(part).some((stem) => known.has(stem)))
        .map((part) => `${path}:${line}: "${part}" of ${shown}`),
    );
    expect({ remedy: REMEDY, strangers }).toEqual({ remedy: REMEDY, strangers: [] });
  });

  it('are looked up in a list of common words that is sorted and has each word once', () => {
    for (const section of read(COMMON_WORDS).split(/^#.*$/m)) {
      const words = section.split(/\s+/).filter((word) => word !== '');
      expect(words).toEqual([...new Set(words)].sort());
    }
  });
});

/** The words of the list, without its headings. */
function commonWords(): string[] {
  return read(COMMON_WORDS)
    .split('\n')
    .filter((line) => !line.startsWith('#'));
}
