/**
 * The cursor of a listing: the position at the end of a page, as base64url of JSON. It is opaque to callers. Its JSON never
 * changes, since a caller may use a cursor that an older gateway has encoded.
 */
import { z } from 'zod';

const CursorText = z.string().meta({
  id: 'PageCursor',
  description: 'The `next_cursor` of the page before.',
  ...{ pattern: '^[A-Za-z0-9_-]+$', maxLength: 2048, example: 'WzExLCJkZXZpY2UtMDAwMSJd' },
});

export class Cursor<Position> {
  /** The query parameter `cursor`; anything but a `next_cursor` of this listing is refused. */
  readonly parameter: z.ZodType<Position | undefined, string | undefined>;

  constructor(private readonly schema: z.ZodType<Position>) {
    this.parameter = CursorText.optional()
      .transform((text, ctx): Position | undefined => {
        if (text === undefined) return undefined;
        const decoded = schema.safeParse(jsonOf(text));
        if (decoded.success) return decoded.data;
        ctx.addIssue({ code: 'custom', message: 'must be a next_cursor of an earlier page' });
        return z.NEVER;
      })
      .meta({ description: 'The `next_cursor` of the page before; without it, the first page comes.' });
  }

  /** The `next_cursor` of a page; null for the last page. */
  encode(position: Position | undefined): string | null {
    if (position === undefined) return null;
    return Buffer.from(JSON.stringify(z.encode(this.schema, position))).toString('base64url');
  }
}

/** Undefined if the text is not base64url of JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return undefined;
  }
}
