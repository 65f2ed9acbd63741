/** Settings of the request bodies that a gateway processes at the same time. */
import { optionalBytes, section } from '@app/platform';
import type { z } from 'zod';
import type { BodyLimits } from './body-budget.js';

export const httpSettings = section('Size of requests', {
  BODY_BYTES_TOTAL: optionalBytes(1024, 17_179_869_184).describe(
    'Most bytes of request bodies that one gateway processes at the same time; above it 503. Unset: 64 MiB, or the ' +
      'largest body that is allowed.',
  ),
  BODY_BYTES_PER_KEY: optionalBytes(1024, 17_179_869_184).describe(
    'The same for one key or token subject; above it 429. Unset: half of the total, or the largest body that is ' +
      'allowed.',
  ),
});

/** Includes the settings that limit the largest bodies. */
export type HttpSettings = z.output<z.ZodObject<typeof httpSettings>> & {
  MAX_PAYLOAD_BYTES: number;
  MAX_BATCH_BYTES: number;
};

/** Bytes of a request body beyond its payload. */
export const BODY_ROOM = 8192;
const DEFAULT_TOTAL = 67_108_864;

export function bodyLimits(settings: HttpSettings): BodyLimits {
  const largest = largestBody(settings);
  const total = settings.BODY_BYTES_TOTAL ?? Math.max(DEFAULT_TOTAL, largest, settings.BODY_BYTES_PER_KEY ?? 0);
  const perCaller = settings.BODY_BYTES_PER_KEY ?? Math.max(Math.floor(total / 2), Math.min(largest, total));
  return { total, perCaller };
}

function largestBody({ MAX_PAYLOAD_BYTES, MAX_BATCH_BYTES }: HttpSettings): number {
  return Math.max(MAX_PAYLOAD_BYTES + BODY_ROOM, MAX_BATCH_BYTES);
}

/** For `superRefine`. The largest body must fit into the budgets, or it would always be refused. */
export function checkHttpSettings(settings: HttpSettings, ctx: z.RefinementCtx): void {
  const largest = largestBody(settings);
  const limits = bodyLimits(settings);
  const wrong = (name: string, message: string): void => ctx.addIssue({ code: 'custom', path: [name], message });
  if (limits.total < largest) wrong('BODY_BYTES_TOTAL', `must be at least ${largest}, the largest body of a request`);
  else if (limits.perCaller < largest) {
    wrong('BODY_BYTES_PER_KEY', `must be at least ${largest}, the largest body of a request`);
  } else if (limits.perCaller > limits.total) wrong('BODY_BYTES_PER_KEY', 'must not be above BODY_BYTES_TOTAL');
}
