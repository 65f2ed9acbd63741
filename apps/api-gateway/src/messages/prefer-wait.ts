/** `Prefer: wait=N` (RFC 7240) in the OpenAPI document. */
import { ApiHeader } from '@nestjs/swagger';

export function PreferWait(description: string): MethodDecorator & ClassDecorator {
  return ApiHeader({
    name: 'Prefer',
    required: false,
    description:
      `\`wait=N\`: ${description} Other preferences are ignored, and so is this one while too many requests wait for ` +
      'messages; `Preference-Applied` tells.',
    schema: { type: 'string', maxLength: 7, pattern: '^wait=([1-9]|[1-5][0-9]|60)$', example: 'wait=10' },
  });
}

/** Header of a response to a request that waited. */
export const PREFERENCE_APPLIED = {
  'Preference-Applied': {
    description: '`wait=N`, as in the request, if `Prefer` was understood and the request waited.',
    schema: { type: 'string' },
  },
} as const;
