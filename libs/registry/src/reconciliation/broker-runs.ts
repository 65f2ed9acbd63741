/**
 * Since when the broker has been running, as all ingesters see it together. Each run of the broker has an id, which an
 * ingester learns with its first report, so that a restart is noticed by one of them and by no clock of Redis.
 *
 * - U1 An ingester that has watched a run since it learned its id reports with that id: no restart, whatever Redis' clock says.
 * - U2 One that noticed the end of the run it knew says so: a restart, unless another one has reported it before.
 * - U3 Only one that knows nothing of the run before, such as one that has just started, is judged by the uptime and by
 *   Redis' clock.
 * - U4 A report that is late, here or in Redis, is dropped: the next one says the same.
 * - U5 A restart stays open until somebody has acted on it.
 */
import { randomUUID } from 'node:crypto';
import type { NoArgs, Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';

export interface UptimeReport {
  /** The broker has been running for so long. */
  seconds: number;
  /** When this was received, by `performance.now()`. */
  at: number;
  /** Whether this is the run of the report before, as far as this process has seen. */
  run: 'same' | 'new' | 'unknown';
}

export interface BrokerRestart {
  /** The run that has begun. */
  run: string;
  /** Its beginning, by Redis' clock; up to two seconds late. */
  since: number;
}

/** A report older than this is dropped. */
const FRESH_MS = 2000;
/** How far beginnings of one run may lie apart: Mosquitto's interval of 10 s between reports, and their delays. */
const TOLERANCE_MS = 15_000;
/** By how many seconds uptimes of one run, reported by two processes, may be out of order. */
const DISORDER_SECONDS = 5;

const brokerClock = commands.load<{ broker: string }, NoArgs, number>('broker-clock');

const reportUptime = commands.load<
  { broker: string },
  {
    uptime_seconds: number;
    age_ms: number;
    sent_at: number;
    fresh_ms: number;
    same_run: string;
    ended_run: string;
    new_run: string;
    tolerance_ms: number;
    disorder_seconds: number;
  },
  [run: string, since: string]
>('report-broker-uptime');

const closeRestart = commands.load<{ broker: string }, { run: string }, 0 | 1>('close-broker-restart');

export class BrokerRuns {
  /** The run that is going on, as far as this process has seen. */
  private run: string | undefined;
  /** The run that this process knew, and saw the end of, before it knows the next one. */
  private ended: string | undefined;

  constructor(
    /** A connection that fails while Redis is away: what waits there would be late. */
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly freshMs = FRESH_MS,
  ) {}

  /** @returns a restart that is to be acted on; `acted` says that it was. Rejects with what Redis or the connection says. */
  async report({ seconds, at, run }: UptimeReport): Promise<BrokerRestart | undefined> {
    if (run !== 'same') {
      if (run === 'new') this.ended ??= this.run;
      this.run = undefined;
    }
    const known = this.run;
    const { broker } = this.keys;
    const clock = await brokerClock.run(this.redis, { broker }, {});
    const age = Math.round(performance.now() - at);
    if (age > this.freshMs) return undefined;
    const args = {
      uptime_seconds: seconds,
      age_ms: age,
      sent_at: clock,
      fresh_ms: this.freshMs,
      same_run: known ?? '',
      ended_run: this.ended ?? '',
      new_run: randomUUID(),
      tolerance_ms: TOLERANCE_MS,
      disorder_seconds: DISORDER_SECONDS,
    };
    const [found, since] = await reportUptime.run(this.redis, { broker }, args);
    // Another report of this process has come in between.
    if (this.run !== known) return undefined;
    if (found === '') {
      this.run = undefined;
      return undefined;
    }
    this.run = found;
    this.ended = undefined;
    return since === '' ? undefined : { run: found, since: Number(since) };
  }

  async acted({ run }: BrokerRestart): Promise<void> {
    await closeRestart.run(this.redis, { broker: this.keys.broker }, { run });
  }
}
