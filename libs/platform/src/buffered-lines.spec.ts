import { EventEmitter } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../../../test/support/servers.js';
import { BufferedLines } from './buffered-lines.js';

function recorder(): { texts: string[]; lines: BufferedLines; written: () => string; drain: () => void } {
  const texts: string[] = [];
  const sink = new EventEmitter();
  let written = '';
  const lines = new BufferedLines({
    write: (text) => texts.push(text),
    flushSync: () => (written = texts.join('')),
    once: (event, listener) => sink.once(event, listener),
  });
  return { texts, lines, written: () => written, drain: () => sink.emit('drain') };
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
  const { texts, lines, written, drain } = recorder();
  lines.write('a\n');
  lines.flushSync();
  expect(written()).toBe('a\n');
  lines.write('b\n');
  const flushed = new Promise<void>((resolve) => lines.flush(resolve));
  drain();
  await flushed;
  expect(texts).toEqual(['a\n', 'b\n']);
});

it('BufferedLines lets the process end when the lines that are being written are written', async () => {
  const { lines, drain } = recorder();
  let isDone = false;
  lines.write(WARN);
  await turn();
  const flushed = new Promise<void>((resolve) => lines.flush(resolve)).then(() => (isDone = true));
  await turn();
  expect(isDone).toBe(false);
  drain();
  await flushed;
});

it('BufferedLines lets the process end although nobody reads its lines', async () => {
  const { lines } = recorder();
  lines.write(WARN);
  await expect(new Promise<string>((resolve) => lines.flush(() => resolve('done')))).resolves.toBe('done');
});
