import { setImmediate as turn } from 'node:timers/promises';
import { BufferedLines } from './buffered-lines.js';

function recorder(): { texts: string[]; lines: BufferedLines; written: () => string } {
  const texts: string[] = [];
  let written = '';
  const lines = new BufferedLines({
    write: (text) => texts.push(text),
    flushSync: () => (written = texts.join('')),
  });
  return { texts, lines, written: () => written };
}

it('BufferedLines writes the lines of one turn of the event loop together, in their order', async () => {
  const { texts, lines } = recorder();
  lines.write('a\n');
  await Promise.resolve();
  lines.write('b\n');
  expect(texts).toEqual([]);
  await turn();
  lines.write('c\n');
  await turn();
  expect(texts).toEqual(['a\nb\n', 'c\n']);
});

it('BufferedLines writes all buffered lines before the process ends', async () => {
  const { texts, lines, written } = recorder();
  lines.write('a\n');
  lines.flushSync();
  expect(written()).toBe('a\n');
  lines.write('b\n');
  lines.flush(() => expect(texts).toEqual(['a\n', 'b\n']));
  await turn();
  expect(texts).toEqual(['a\n', 'b\n']);
  expect.assertions(3);
});
