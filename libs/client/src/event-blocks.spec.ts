import fc from 'fast-check';
import { blocksOf, type EventBlock } from './event-blocks.js';

async function parse(...chunks: string[]): Promise<EventBlock[]> {
  async function* stream(): AsyncGenerator<string> {
    yield* await Promise.resolve(chunks);
  }
  const blocks: EventBlock[] = [];
  for await (const block of blocksOf(stream())) blocks.push(block);
  return blocks;
}

const STREAM =
  'retry: 2000\nid: a\n\n: heartbeat\nid:b\n\nevent: x\r\ndata: {"a":\r\ndata:1}\r\nid: c\r\n\r\ndata: d\r\r';

it('blocksOf() yields blocks with data, and blocks with an id only', async () => {
  expect(await parse(STREAM)).toEqual([
    { retry: 2000, id: 'a' },
    { id: 'b' },
    { data: '{"a":\n1}', id: 'c' },
    // The last carriage return may be the first half of a line break, so its block is not complete.
  ]);
});

it('blocksOf() yields the same blocks however the stream is split into chunks', async () => {
  const whole = await parse(STREAM);
  const cuts = fc.array(fc.nat(STREAM.length), { maxLength: 10 });
  const property = fc.asyncProperty(cuts, async (places) => {
    const ends = [...places.toSorted((a, b) => a - b), STREAM.length];
    const chunks = ends.map((end, i) => STREAM.slice(ends[i - 1] ?? 0, end));
    expect(await parse(...chunks)).toEqual(whole);
  });
  await fc.assert(property);
});

it.each([
  ['a block without its end', 'data: lost', []],
  ['an id with a null character', 'id: a\0b\ndata: x\n\n', [{ data: 'x' }]],
  ['a retry that is no number', 'retry: soon\ndata: x\n\n', [{ data: 'x' }]],
  ['a field without a value', 'data\n\n', [{ data: '' }]],
  ['an unknown field', 'dat: x\n\n', []],
])('blocksOf() treats %s as the standard says', async (_, text, blocks) => {
  expect(await parse(text)).toEqual(blocks);
});

it('blocksOf() refuses a line that is too long', async () => {
  const chunk = 'x'.repeat(1_048_576);
  await expect(parse(...Array.from({ length: 17 }, () => chunk))).rejects.toThrow(RangeError);
});
