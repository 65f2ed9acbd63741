/**
 * Parses a `text/event-stream` as the HTML standard does. Unlike other parsers it also yields blocks without data: their id is
 * a cursor to resume from.
 */

export interface EventBlock {
  id?: string;
  data?: string;
  /** Milliseconds to wait before a new connection. */
  retry?: number;
}

/** Longest line and longest event, in characters. */
const LONGEST = 16_777_216;

/** @throws RangeError for a line or an event that is too long */
export async function* blocksOf(chunks: AsyncIterable<string>): AsyncGenerator<EventBlock, void, undefined> {
  let rest = '';
  let block: EventBlock = {};
  for await (const chunk of chunks) {
    // A carriage return at the end of a chunk may be the first half of a line break.
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== '') {
        take(line, block);
        continue;
      }
      if (Object.keys(block).length > 0) yield block;
      block = {};
    }
    if (rest.length + (block.data?.length ?? 0) > LONGEST)
      throw new RangeError(`an event of the stream is longer than ${LONGEST} characters`);
  }
}

function take(line: string, block: EventBlock): void {
  const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
  if (field === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
  else if (field === 'id' && !value.includes('\0')) block.id = value;
  else if (field === 'retry' && /^\d+$/.test(value)) block.retry = Number(value);
}
