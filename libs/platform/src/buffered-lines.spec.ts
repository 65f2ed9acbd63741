import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../../../test/support/servers.js';
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

const INFO = '{"level":"info","message":"a"}\n';
const WARN = '{"level":"warn","message":"b"}\n';

it('BufferedLines writes info lines of several turns of the event loop together', async () => {
  const { texts, lines } = recorder();
  lines.write(INFO);
  await turn();
  lines.write(INFO);
  expect(texts).toEqual([]);
  await eventually('the lines are written', () => expect(texts).toEqual([INFO + INFO]));
});

it('BufferedLines writes a warning in the same turn, and all lines before it', async () => {
  const { texts, lines } = recorder();
  lines.write(INFO);
  lines.write(WARN);
  lines.write(INFO);
  await turn();
  expect(texts).toEqual([INFO + WARN + INFO]);
});

it('BufferedLines lets few lines wait: many are written in the same turn', async () => {
  const { texts, lines } = recorder();
  const many = Array.from({ length: 5000 }, () => INFO);
  for (const line of many) lines.write(line);
  await turn();
  expect(texts.join('')).toBe(many.join(''));
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
