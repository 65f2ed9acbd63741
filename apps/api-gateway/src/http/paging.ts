/** The query parameter `limit` of a listing. */
import { z } from 'zod';

/** Digits only, without a sign or leading zeros: `Number` would also accept `0x10`, `1e2` and blanks. */
const WHOLE = /^[1-9]\d{0,9}$/;

/** `most`: the largest page. */
export function pageLimit(most: number): z.ZodType<number, string | undefined> {
  return z
    .string()
    .optional()
    .transform((text = '100', ctx): number => {
      const limit = WHOLE.test(text) ? Number(text) : NaN;
      if (limit <= most) return limit;
      ctx.addIssue({ code: 'custom', message: `must be a whole number from 1 to ${most}` });
      return z.NEVER;
    })
    .meta({
      ...{ type: 'integer', minimum: 1, maximum: most, example: 100 },
      description: 'The most items that a page has; 100 if it is absent.',
    });
}
