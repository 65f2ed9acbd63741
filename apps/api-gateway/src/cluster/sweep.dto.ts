/** Sweeps as the REST API shows them. */
import { INCOMPLETE_REASONS, type SweepRecord } from '@app/registry';
import { z } from 'zod';

/** Outcomes for the clients that a sweep reported. Without an `id`, since the AsyncAPI document cannot refer to it. */
export const Corrections = z.object({
  online: z.int().meta({ description: 'Clients that came online.' }),
  updated: z.int().meta({ description: 'Clients that were online, with another handshake.' }),
  offline: z.int().meta({ description: 'Clients that went offline.' }),
  reason: z.int().meta({ description: 'Clients that were offline for another reason.' }),
  none: z.int().meta({ description: 'Clients that needed no correction when they were compared again.' }),
});

export const SweepBody = z
  .object({
    sweep_id: z.uuid(),
    trigger: z.string().meta({ description: 'Why it was started.', example: 'interval' }),
    state: z.enum(['running', 'ended']),
    member: z.string().meta({ description: 'The ingester that runs it.' }),
    started_at: z.iso.datetime(),
    ended_at: z.iso.datetime().nullable(),
    complete: z.boolean().nullable().meta({
      description:
        'Whether everything was read that the broker retains: a further pass brought nothing new. null while it is being read.',
    }),
    incomplete_reason: z
      .enum(INCOMPLETE_REASONS)
      .nullable()
      .meta({
        description:
          'Why it may not have read everything; null unless `complete` is false. `cut-short`: the broker stopped sending ' +
          'in the middle, or sent nothing. `more-each-time`: each further pass brought messages that the one before had ' +
          'missed. `left-out`: no pass brought the messages of clients for which a read of their own topic found one.',
      }),
    read: z.int().meta({ description: 'Retained status messages read.' }),
    read_per_second: z.number(),
    differing: z.int().meta({ description: 'Clients whose retained message differed from the registry.' }),
    unseen: z.int().meta({
      description:
        'Clients that are online in the registry and for which nothing was read; each is verified individually.',
    }),
    corrections: Corrections,
  })
  .meta({ id: 'Sweep' });
export type SweepBody = z.infer<typeof SweepBody>;

export const RequestedSweepBody = z
  .object({
    sweep_id: z.uuid(),
    state: z.enum(['waiting', 'running', 'ended']).meta({ description: '`waiting` until it begins.' }),
    sweep: SweepBody.nullable().meta({ description: 'null until it begins.' }),
  })
  .meta({ id: 'RequestedSweep' });
export type RequestedSweepBody = z.infer<typeof RequestedSweepBody>;

export const SweepIdParam = z.uuid().meta({ description: 'Id of a sweep.' });

export function toRequestedSweepBody(id: string, found: SweepRecord | 'waiting', now: number): RequestedSweepBody {
  if (found === 'waiting') return { sweep_id: id, state: found, sweep: null };
  return { sweep_id: id, state: found.state, sweep: toSweepBody(found, now) };
}

export function toSweepBody(record: SweepRecord, now: number): SweepBody {
  const { id, trigger, state, member, startedAt, endedAt, complete, read, differing, unseen, corrections } = record;
  const seconds = Math.max(1, (endedAt ?? now) - startedAt) / 1000;
  return {
    ...{ sweep_id: id, trigger, state, member, complete, read, differing, unseen, corrections },
    incomplete_reason: record.incompleteReason ?? null,
    started_at: new Date(startedAt).toISOString(),
    ended_at: endedAt === null ? null : new Date(endedAt).toISOString(),
    read_per_second: Math.round(read / seconds),
  };
}
