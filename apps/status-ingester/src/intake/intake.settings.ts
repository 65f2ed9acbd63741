/** Settings of how messages of clients are taken from the broker, and of how much one client may send. */
import { bytes, integer, section } from '@app/platform';
import { z } from 'zod';
import type { ShardingSettings } from '../sharding/sharding.settings.js';
import type { TopicsSettings } from '../topics/topics.settings.js';

export const intakeSettings = {
  ...section('Topics', {
    SHARE_GROUP: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, "_" or "-"')
      .optional()
      .describe(
        'Name of the shared subscription, 1 to 64 letters, digits, `_` or `-`. It is a secret. Unset: a random name, ' +
          'kept in Redis. [Set it in production](operations.md#settings-that-matter).',
      ),
  }),
  ...section('Client rate limit', {
    CLIENT_RATE: integer(50, 1, 1_000_000).describe(
      'Messages a second that one client may send in the long run. What is above it is acknowledged to the broker ' +
        'and dropped, see [ADR 0018](adr/0018-a-client-is-cut-to-its-share.md).',
    ),
    CLIENT_BURST: integer(1000, 1, 1_000_000).describe('Messages that one client may send at once after a pause.'),
    CLIENT_BYTES_RATE: bytes(1_048_576, 1024, 1_073_741_824).describe(
      'Bytes a second that one client may send in the long run, and four times as many (or one message of ' +
        '`MAX_INBOUND_BYTES`) at once. A larger message counts as one of `MAX_INBOUND_BYTES`.',
    ),
  }),
};
/** With the settings that it shares with other features. */
export type IntakeSettings = z.output<z.ZodObject<typeof intakeSettings>> & TopicsSettings & ShardingSettings;
