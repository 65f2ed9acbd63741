/** The code in a tutorial is that of the example which the tests run. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const read = (...path: string[]): string => readFileSync(join(ROOT, ...path), 'utf8');

/** By the language of a code block, the folders whose files hold such blocks. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  ts: ['examples/application'],
  python: ['examples/application', 'examples/device-python'],
  c: ['examples/device-c'],
};

function programs(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => read(folder, entry.name));
}

const blocks = readdirSync(join(ROOT, 'docs/tutorials')).flatMap((name) =>
  Array.from(read('docs/tutorials', name).matchAll(/^```(\w+)\n(.*?)^```/gms), ([, language = '', code = '']) => ({
    name,
    language,
    code,
  })).filter(({ language }) => language in EXAMPLES),
);

test('there are tutorials with code', () => {
  expect(blocks.length).toBeGreaterThan(3);
});

test.each(blocks)('$name: a block in $language is in an example', ({ language, code }) => {
  const texts = (EXAMPLES[language] ?? []).flatMap(programs);
  const isThere = texts.some((text) => text.includes(code));
  expect({ code, isThere }).toEqual({ code, isThere: true });
});
