/** The query parameter `limit` of a listing. */
import { z } from 'zod';

/** Only digits, without a sign or zeros before them: `Number` takes `0x10`, `1e2` and blanks for whole numbers too. */
const WHOLE = /^[1-9]\d{0,9}$/;

/** How many items of a page a caller wants. */
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
    .meta({ type: 'integer', minimum: 1, maximum: most, default: 100 });
}
