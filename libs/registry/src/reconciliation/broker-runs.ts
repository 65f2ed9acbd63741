/**
 * Detects restarts of the broker from the uptimes that all ingesters report. Each run of the broker has an id, which an
 * ingester receives with its first report, so that ingesters detect a restart without relying on Redis' clock.
 *
 * - U1 An ingester that has watched a run since it received its id reports that id: no restart, whatever Redis' clock says.
 * - U2 An ingester that saw the end of the run it knew reports that: a restart, unless it was reported before.
 * - U3 If an ingester does not know the previous run, for example after its own start, the uptime and Redis' clock decide.
 * - U4 A report that is delayed, in the ingester or in Redis, is dropped: the next one has the same information.
 * - U5 A restart stays open until an ingester has acted on it.
 */
import { randomUUID } from 'node:crypto';
import type { NoArgs, Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';

export interface UptimeReport {
  /** The broker's uptime. */
  seconds: number;
  /** When the uptime was received, by `performance.now()`. */
  at: number;
  /** Whether this process has seen that the run is the same as in its previous report. */
  run: 'same' | 'new' | 'unknown';
}

export interface BrokerRestart {
  /** Id of the new run. */
  run: string;
  /** The start of the run by Redis' clock; up to two seconds late. */
  since: number;
}

/** Older reports are dropped. */
const FRESH_MS = 2000;
/** Tolerance for the computed start of one run: Mosquitto reports its uptime every 10 s, and reports are delayed. */
const TOLERANCE_MS = 15_000;
/** Tolerance for the order of uptimes of one run that different processes report. */
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
  /** Id of the current run; undefined until the first report and after an end of a run. */
  private run: string | undefined;
  /** Id of a run whose end this process has seen, until the next run has an id. */
  private ended: string | undefined;

  constructor(
    /** A connection that fails commands while Redis is away: queued reports would be too old. */
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly freshMs = FRESH_MS,
  ) {}

  /**
   * @returns a restart if one is open: the caller acts on it and then calls `closeRestart`
   * @throws the error of Redis or of the connection
   */
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
    // Another report of this process has changed the run in the meantime.
    if (this.run !== known) return undefined;
    if (found === '') {
      this.run = undefined;
      return undefined;
    }
    this.run = found;
    this.ended = undefined;
    return since === '' ? undefined : { run: found, since: Number(since) };
  }

  async closeRestart({ run }: BrokerRestart): Promise<void> {
    await closeRestart.run(this.redis, { broker: this.keys.broker }, { run });
  }
}
