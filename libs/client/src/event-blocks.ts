/**
 * The lines of a `text/event-stream`, as the HTML standard parses them. A block without data is passed on too: its id
 * says how far the stream has been read, which parsers that tell of events alone lose.
 */

export interface EventBlock {
  id?: string;
  data?: string;
  /** Milliseconds to wait before a new connection. */
  retry?: number;
}

/** Longest line and longest event, in characters. */
const LONGEST = 16_777_216;

/** @throws RangeError where a line or an event does not end */
export async function* blocksOf(chunks: AsyncIterable<string>): AsyncGenerator<EventBlock, void, undefined> {
  let rest = '';
  let block: EventBlock = {};
  for await (const chunk of chunks) {
    // At the end of a chunk, a carriage return may be half of a line's end.
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
    if (rest.length + (block.data?.length ?? 0) > LONGEST) throw new RangeError('an event of the stream has no end');
  }
}

function take(line: string, block: EventBlock): void {
  const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
  if (field === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
  else if (field === 'id' && !value.includes('\0')) block.id = value;
  else if (field === 'retry' && /^\d+$/.test(value)) block.retry = Number(value);
}
