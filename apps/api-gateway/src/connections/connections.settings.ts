/** Settings of the requests that change a connection. */
import { bytes, duration, integer, section, type CommonSettings } from '@app/platform';
import type { z } from 'zod';

export const connectionsSettings = section('Commands to shards', {
  COMMAND_TIMEOUT: duration('2s', { min: '100ms', max: '30s' }).describe(
    "How long a request that changes a connection waits for the shard's owner; after it 503.",
  ),
  MAILBOX_LIMIT: integer(10_000, 1, 1_000_000).describe(
    'Number of entries in a mailbox above which such a request is refused with 503.',
  ),
  MAILBOX_BYTES: bytes(16_777_216, 65_536, 1_099_511_627_776).describe('The same in bytes.'),
});
export type ConnectionsSettings = z.output<z.ZodObject<typeof connectionsSettings>> & CommonSettings;
