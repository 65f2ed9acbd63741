/** Sweeps as the REST API shows them. */
import type { SweepRecord } from '@app/registry';
import { z } from 'zod';
import { IncompleteReasonValue, SweepTriggerValue, countOf, timeOf } from '../http/values.dto.js';

/** Outcomes for the clients that a sweep reported. */
export const Corrections = z
  .object({
    online: countOf('Clients that came online.'),
    updated: countOf('Clients that were online, with another handshake.'),
    offline: countOf('Clients that went offline.'),
    reason: countOf('Clients that were offline for another reason.'),
    none: countOf('Clients that needed no correction when they were compared again.'),
  })
  .meta({ id: 'SweepCorrections', description: 'What became of the clients that a sweep found to differ.' });

const SweepState = z.enum(['running', 'ended']).meta({ id: 'SweepState', description: 'How far a sweep has come.' });
const RequestedSweepState = z
  .enum(['waiting', 'running', 'ended'])
  .meta({ id: 'RequestedSweepState', description: 'How far a requested sweep has come: `waiting` until it begins.' });
const SweepIdValue = z
  .uuid()
  .meta({ description: 'Id of the sweep.', example: '0b7a4f0e-54f5-4b9e-9d0c-3a1a2d5e6c71' });

export const SweepBody = z
  .object({
    sweep_id: SweepIdValue,
    trigger: SweepTriggerValue,
    state: SweepState,
    member: z.string().meta({ description: 'The ingester that runs it.' }),
    started_at: timeOf('When it began.'),
    ended_at: timeOf('').nullable().meta({ description: 'When it ended; null while it runs.' }),
    complete: z.boolean().nullable().meta({
      description:
        'Whether everything was read that the broker retains: a further pass brought nothing new. null while it is being read.',
    }),
    incomplete_reason: IncompleteReasonValue.nullable().meta({
      description: 'Why it may not have read everything; null unless `complete` is false.',
    }),
    read: countOf('Retained status messages read.'),
    read_per_second: z.number().meta({ description: 'How many of them it read in a second.' }),
    differing: countOf('Clients whose retained message differed from the registry.'),
    unseen: countOf(
      'Clients that are online in the registry and for which nothing was read; each is verified individually.',
    ),
    corrections: Corrections,
  })
  .meta({ id: 'Sweep', description: 'A comparison of the whole registry with the broker.' });
export type SweepBody = z.infer<typeof SweepBody>;

export const RequestedSweepBody = z
  .object({
    sweep_id: SweepIdValue,
    state: RequestedSweepState,
    sweep: SweepBody.nullable().meta({ description: 'null until it begins.' }),
  })
  .meta({ id: 'RequestedSweep', description: 'A sweep that was requested.' });
export type RequestedSweepBody = z.infer<typeof RequestedSweepBody>;

export const SweepIdParam = z.uuid().meta({
  description: 'Id of the sweep.',
  example: '0b7a4f0e-54f5-4b9e-9d0c-3a1a2d5e6c71',
});

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
