/** What listings have in common: how many of a page, and a cursor, opaque to callers, that says where the page before ended. */
import { z } from 'zod';

const limitError = 'must be a whole number from 1 to 1000';

export const PageLimit = z.coerce
  .number(limitError)
  .int(limitError)
  .min(1, limitError)
  .max(1000, limitError)
  .default(100);

/** `decode`: undefined where the text is no cursor of this listing. */
export function pageCursor<Cursor>(
  decode: (text: string) => Cursor | undefined,
): z.ZodType<Cursor | undefined, string | undefined> {
  return z
    .string()
    .optional()
    .transform((text, ctx): Cursor | undefined => {
      if (text === undefined) return undefined;
      const cursor = decode(text);
      if (cursor === undefined) ctx.addIssue({ code: 'custom', message: 'must be a next_cursor of an earlier page' });
      return cursor;
    });
}
