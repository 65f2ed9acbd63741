/** Settings of what callers ask to be changed on a connection. */
import { duration, integer, type CommonSettings } from '@app/platform';
import type { z } from 'zod';

export const connectionsSettings = {
  /** How long a caller waits for a shard's owner to answer a command. */
  COMMAND_TIMEOUT: duration('2s', { min: '100ms', max: '30s' }),
  /** Most commands waiting in a shard's mailbox; past it they are refused. */
  MAILBOX_LIMIT: integer(10_000, 1, 1_000_000),
  /** The same in bytes. */
  MAILBOX_BYTES: integer(16_777_216, 65_536, 1_099_511_627_776),
};
export type ConnectionsSettings = z.output<z.ZodObject<typeof connectionsSettings>> & CommonSettings;
