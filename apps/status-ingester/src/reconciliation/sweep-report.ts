/** Reports one sweep, while it runs and when it has ended: in its record, metrics, the log and events. */
import { counter, gauge, type Logger, type Redis } from '@app/platform';
import {
  NO_CORRECTIONS,
  appendKeySpaceEvent,
  type RegistryKeys,
  type SweepRecord,
  type SweepTrigger,
  type Sweeps,
} from '@app/registry';

const corrections = counter('sweep_corrections', 'Changes that sweeps made to connections, by kind.', {
  kind: Object.keys(NO_CORRECTIONS),
});
const ended = counter('sweeps', 'Sweeps that ended here, by outcome.', {
  outcome: ['complete', 'incomplete', 'failed'],
});
const running = gauge('sweep_running', 'Whether a sweep runs here (1) or not (0).');
const lasted = gauge('sweep_duration_seconds', 'Duration of the last sweep that ended here.');
const lastEnd = gauge('sweep_last_end_timestamp_seconds', 'When the last sweep ended here, Unix time.');

const EVERY_MS = 1000;

export interface ReportDependencies {
  redis: Redis;
  keys: RegistryKeys;
  sweeps: Pick<Sweeps, 'save' | 'end'>;
  member: string;
  logger: Logger;
}

export class SweepReport {
  readonly record: SweepRecord;
  private timer: NodeJS.Timeout | undefined;
  private announced: Promise<void> | undefined;

  constructor(
    private readonly dependencies: ReportDependencies,
    id: string,
    trigger: SweepTrigger,
    /** Number of messages that were read up to now. */
    private readonly countRead: () => number,
  ) {
    this.record = {
      ...{ id, trigger, state: 'running', member: dependencies.member },
      ...{ startedAt: Date.now(), endedAt: null, complete: null, incompleteReason: null },
      ...{ read: 0, differing: 0, unseen: 0, corrections: NO_CORRECTIONS },
    };
  }

  async begin(): Promise<void> {
    running.set(1);
    await this.save();
    this.timer = setInterval(() => this.progress(), EVERY_MS);
  }

  /** Call it when the broker has answered: otherwise each try would emit an event while the broker is away. */
  announce(): Promise<void> {
    this.announced ??= this.emitStarted();
    return this.announced;
  }

  private async emitStarted(): Promise<void> {
    const { redis, keys, logger } = this.dependencies;
    const { id, trigger } = this.record;
    await appendKeySpaceEvent(redis, keys, { type: 'sweep.started', sweep: id, trigger });
    logger.info({ sweep: id, trigger }, 'sweep started');
  }

  /** @returns whether a caller waits for the next sweep */
  async end(): Promise<boolean> {
    const { redis, keys, sweeps, logger } = this.dependencies;
    const { record } = this;
    clearInterval(this.timer);
    const now = Date.now();
    record.state = 'ended';
    record.endedAt = now;
    record.read = this.countRead();
    const awaited = await sweeps.end(record);
    const { id, trigger, read, differing, unseen, incompleteReason } = record;
    const complete = record.complete === true;
    const ofEnd = {
      sweep: id,
      trigger,
      complete,
      ...(incompleteReason && { incomplete_reason: incompleteReason }),
      read,
    };
    const event = { ...ofEnd, corrections: record.corrections };
    await appendKeySpaceEvent(redis, keys, { type: 'sweep.ended', ...event });
    for (const [kind, count] of Object.entries(record.corrections)) corrections.inc({ kind }, count as number);
    ended.inc({ outcome: complete ? 'complete' : 'incomplete' });
    lasted.set((now - record.startedAt) / 1000);
    lastEnd.set(now / 1000);
    const ms = now - record.startedAt;
    logger.info({ ...ofEnd, differing, unseen, ...record.corrections, ms }, 'sweep ended');
    return awaited;
  }

  failed(): void {
    ended.inc({ outcome: 'failed' });
  }

  /** Call it at the end, whatever the outcome. */
  close(): void {
    clearInterval(this.timer);
    running.set(0);
  }

  private progress(): void {
    const { id, differing, unseen, startedAt } = this.record;
    const read = this.countRead();
    const rate = Math.round((read * 1000) / Math.max(1, Date.now() - startedAt));
    this.dependencies.logger.info({ sweep: id, read, differing, unseen, read_a_second: rate }, 'sweep in progress');
    this.save().catch((error: unknown) =>
      this.dependencies.logger.warn({ err: error }, 'could not save the progress of a sweep'),
    );
  }

  private async save(): Promise<void> {
    this.record.read = this.countRead();
    await this.dependencies.sweeps.save(this.record);
  }
}
