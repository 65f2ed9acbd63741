/** Settings of the lanes, the shards and their leases, and of the mailboxes between lanes and shards. */
import { bytes, duration, integer, section, type CommonSettings } from '@app/platform';
import type { z } from 'zod';

export const shardingSettings = {
  ...section('Intake', {
    INTAKE_LANES: integer(1, 1, 64).describe(
      'Number of MQTT sessions that share the intake. Leave it at 1, see ' +
        '[ADR 0002](adr/0002-intake-through-lanes.md). When it is lowered, surplus lanes are emptied and ended.',
    ),
    INTAKE_WINDOW: integer(1000, 1, 65_535).describe(
      'Most unacknowledged packets of a lane; not above `MAILBOX_LIMIT`. A lane also stops reading at 32 MiB of them.',
    ),
    MAILBOX_LIMIT: integer(10_000, 1, 1_000_000).describe(
      'Number of entries in a mailbox above which the lanes stop reading.',
    ),
    MAILBOX_BYTES: bytes(16_777_216, 65_536, 1_099_511_627_776).describe('The same in bytes.'),
  }),
  ...section('Shards and lanes', {
    LEASE_TIME: duration('3s', { min: '2s', max: '60s' }).describe(
      'How long the shards and lanes of a crashed ingester wait before another ingester takes them.',
    ),
  }),
};
export type ShardingSettings = z.output<z.ZodObject<typeof shardingSettings>> & CommonSettings;

/** For `superRefine`. */
export function checkShardingSettings(
  { INTAKE_WINDOW, MAILBOX_LIMIT }: Pick<ShardingSettings, 'INTAKE_WINDOW' | 'MAILBOX_LIMIT'>,
  ctx: z.RefinementCtx,
): void {
  if (INTAKE_WINDOW <= MAILBOX_LIMIT) return;
  const message = 'must not be larger than MAILBOX_LIMIT, or a full window would never fit';
  ctx.addIssue({ code: 'custom', path: ['INTAKE_WINDOW'], message });
}
