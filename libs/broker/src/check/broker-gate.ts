/**
 * Lets the app use the broker only if the broker has what the app cannot do without.
 *
 * - G1 The start fails if the first check finds that an essential is missing. It does not wait for a broker that is away,
 *   and not long for one that is slow: the check is made again, or ends, in the background.
 * - G2 No lane connects before a check has passed that ended after the lane had asked. If an essential is missing, no lane
 *   connects: a broker without Retain As Published would make the service refuse healthy clients.
 * - G3 Lanes that ask at the same time share one check, and what is wrong is logged once until it changes.
 * - G4 A check that the broker interrupts proves nothing. After three in a row the broker counts as checked: it is not known
 *   to be wrong, and a service that never starts helps nobody.
 * - G5 What was found holds until a connection is lost: the next one may lead to another broker. Then lanes wait for the whole
 *   check, and without lanes it is made in the background. What could not be found out is asked again later, and no lane
 *   waits for that.
 * - G6 Whether the broker keeps the retain flag is known only from a check with messages, until a connection is lost or a message
 *   shows otherwise. While it is not known, nobody is refused for a missing flag.
 */
import { isDeepStrictEqual } from 'node:util';
import { RequirementError, backoffMs, pause, sharedAbort, within, type Logger } from '@app/platform';
import { waitUntil } from '../timed-wait.js';
import type { BrokerCheck, BrokerFindings, EssentialsCheck, FailedCheck } from './broker-check.js';
import type { BrokerFacts } from './broker-facts.js';
import { CheckSchedule, type CheckOutcome, type CheckTimes } from './check-schedule.js';
import { lackingLine, unreachableBroker, withoutCredentials, type Essential, type Needs } from './essentials.js';
import { grantedFields } from './granted.js';
import { weakerPromises } from './weaker-promises.js';

/** How long a start waits for the first check. With the start of the process it says no within 10 seconds, or goes on. */
export const START_MS = 8000;
/** So many interrupted checks in a row count as a check with an unknown result. */
const MOST_INTERRUPTED = 3;
/** A broker that is away is tried as often as a lane would. */
const AWAY_BACKOFF = { baseMs: 100, capMs: 1000 };
/** A broker that lacks an essential has to be changed by somebody. */
const MISSING_BACKOFF = { baseMs: 500, capMs: 5000 };

const PASSED = { kind: 'passed' } as const;

/** `missing`: an essential is missing. `failed`: the check has no result. */
interface FailedResult {
  kind: 'missing' | 'failed';
  problem: string;
  /** What is missing. */
  essential?: Essential;
  /** What the check threw. */
  error?: unknown;
}
type CheckResult = typeof PASSED | FailedResult;

export interface BrokerGateOptions {
  url: string;
  needs: Needs;
  facts: BrokerFacts;
  checkAll: (signal: AbortSignal) => Promise<BrokerCheck>;
  /** As `checkEssentials`. */
  checkEssentials: (withMessages: boolean, signal: AbortSignal) => Promise<EssentialsCheck>;
  logger: Logger;
  times?: CheckTimes;
  startMs?: number;
}

export class BrokerGate {
  private currentProblem: string | undefined = 'the broker has not been checked yet';
  /** The problem that was logged last. */
  private reported: string | undefined;
  /** Whether the whole check has passed, and has found nothing missing since. */
  private isChecked = false;
  /** Whether the messages of a check get a result from this broker. */
  private withMessages = true;
  private isRetainFlagKept = false;
  private interrupted = 0;
  private warned: readonly string[] = [];
  /** What was found and logged last. */
  private logged: object | undefined;
  /** Checks until one passes. */
  private passing: Promise<void> | undefined;
  /** The whole check that is being made. */
  private checking: Promise<CheckResult> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly schedule: CheckSchedule;
  private readonly listeners: ((findings: BrokerFindings) => void)[] = [];
  private readonly missingListeners: ((essential: Essential | undefined) => void)[] = [];
  private readonly stopping = sharedAbort();

  constructor(private readonly options: BrokerGateOptions) {
    this.schedule = new CheckSchedule(options.times);
  }

  /** Why the app cannot use the broker; undefined if it can, as far as is known. */
  get problem(): string | undefined {
    return this.currentProblem;
  }

  /** Whether it is known that the broker keeps the retain flag of messages to lanes. */
  get keepsRetainFlag(): boolean {
    return this.isRetainFlagKept;
  }

  /** A message came to a lane without the retain flag that it was published with. */
  retainFlagRemoved(): void {
    if (this.isRetainFlagKept)
      this.options.logger.warn(
        'the broker removed the retain flag of a message to a lane: nobody is refused for a missing flag before a check ' +
          'has found that the broker keeps it',
      );
    this.connectionLost();
  }

  /** `listener` is called with what each complete check has found. */
  onChecked(listener: (findings: BrokerFindings) => void): void {
    this.listeners.push(listener);
  }

  /**
   * `listener` is called with an essential that the broker of a running app lacks, and with undefined when the app can use the
   * broker again.
   */
  onMissing(listener: (essential: Essential | undefined) => void): void {
    this.missingListeners.push(listener);
  }

  /** @throws RequirementError if the broker lacks an essential */
  async start(): Promise<void> {
    const { startMs = START_MS } = this.options;
    const checking = this.checkAll();
    const result = (await within(startMs, checking)) ? await checking : this.late(startMs);
    if (this.isStopping()) return;
    this.currentProblem = result.kind === 'passed' ? undefined : result.problem;
    if (result.kind === 'missing') throw new RequirementError(result.problem);
    if (result.kind === 'failed') this.startAgain(result);
    else this.arm();
  }

  /** Resolves when a check has passed. @returns false if `signal` was aborted, or the gate stopped, before */
  async pass(signal: AbortSignal): Promise<boolean> {
    this.passing ??= this.untilPassed(0);
    return (await waitUntil(Infinity, this.passing, signal)) === 'resolved' && !this.isStopping();
  }

  /** The broker to which the next connection leads may be another one, or have been started again. */
  connectionLost(): void {
    this.isRetainFlagKept = false;
    this.schedule.lost(performance.now());
    this.arm();
  }

  /** Ends the checks. Lanes that wait do not pass. Resolves when nothing of a check is left. */
  async stop(): Promise<void> {
    this.stopping.abort();
    clearTimeout(this.timer);
    await Promise.all([this.passing, this.checking]);
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  /** `failures`: checks in a row that have failed before. */
  private async untilPassed(failures: number): Promise<void> {
    try {
      if (failures > 0) await this.wait(AWAY_BACKOFF, failures);
      for (let count = failures; !this.isStopping(); count++) {
        const result = await this.check();
        if (this.isStopping()) return;
        if (result.kind === 'passed') {
          this.currentProblem = undefined;
          if (this.reported !== undefined) this.options.logger.info('the broker has what this app needs');
          this.reported = undefined;
          this.noteMissing(undefined);
          return;
        }
        this.report(result);
        await this.wait(result.kind === 'missing' ? MISSING_BACKOFF : AWAY_BACKOFF, count);
      }
    } finally {
      this.passing = undefined;
      this.arm();
    }
  }

  private startAgain(result: FailedResult): void {
    this.report(result);
    this.passing ??= this.untilPassed(1);
  }

  private wait({ baseMs, capMs }: { baseMs: number; capMs: number }, failures: number): Promise<boolean> {
    return pause(backoffMs(failures, baseMs, capMs), this.stopping.signal);
  }

  private noteMissing(essential: Essential | undefined): void {
    for (const listener of this.missingListeners) listener(essential);
  }

  private report({ kind, problem, essential, error }: FailedResult): void {
    this.currentProblem = problem;
    if (essential !== undefined) this.noteMissing(essential);
    if (problem === this.reported) return;
    this.reported = problem;
    const { logger, needs } = this.options;
    if (error !== undefined) logger.error({ err: error }, problem);
    else if (kind !== 'missing') logger.warn(problem);
    else logger.error(needs === 'intake' ? `${problem}; no lane connects before that is done` : problem);
  }

  /** Makes the whole check when it is due, if no lane waits for one. */
  private arm(): void {
    clearTimeout(this.timer);
    const { dueAt } = this.schedule;
    if (this.isStopping() || !this.isChecked || this.passing !== undefined || dueAt === Infinity) return;
    this.timer = setTimeout(() => void this.checkLater(), Math.max(0, dueAt - performance.now()));
  }

  /** A check without a result changes nothing: a broker that is away, or slow, is reported by those who need it. */
  private async checkLater(): Promise<void> {
    const result = await this.checkAll();
    if (this.isStopping()) return;
    if (result.kind === 'missing') this.startAgain(result);
    else if (result.kind === 'failed') this.options.logger.debug({ err: result.error }, result.problem);
    this.arm();
  }

  private check(): Promise<CheckResult> {
    const isNeeded = this.withMessages && this.schedule.isRenewalDue(performance.now());
    return isNeeded || !this.isChecked ? this.checkAll() : this.checkAgain();
  }

  private checkAll(): Promise<CheckResult> {
    this.checking ??= this.checkAllOnce()
      .catch((error: unknown) => this.failedWith(error))
      .finally(() => (this.checking = undefined));
    return this.checking;
  }

  private async checkAllOnce(): Promise<CheckResult> {
    const begunAt = performance.now();
    this.schedule.begun(begunAt);
    let outcome: CheckOutcome = this.withMessages ? 'failed' : 'unknown';
    try {
      const check = await this.options.checkAll(this.stopping.signal);
      if (check.kind === 'missing') this.isChecked = this.isRetainFlagKept = false;
      if (check.kind !== 'checked' && check.kind !== 'interrupted') return this.failed(check);
      const problem = check.kind === 'interrupted' ? this.noteInterrupted(check.details) : undefined;
      if (problem !== undefined) return { kind: 'failed', problem };
      this.withMessages = check.kind === 'checked' && check.findings.notAllowed === undefined;
      if (this.withMessages) this.isRetainFlagKept = true;
      outcome = this.withMessages && this.isKnown(check.findings) ? 'known' : 'unknown';
      // What an interrupted check has not found out replaces nothing.
      if (check.kind === 'checked' || !this.isChecked) this.note(check.findings, performance.now() - begunAt);
      this.isChecked = true;
      this.interrupted = 0;
      return PASSED;
    } finally {
      this.schedule.ended(outcome, performance.now());
    }
  }

  private isKnown({ absenceProvable, noSubscriberSignal }: BrokerFindings): boolean {
    return this.options.needs === 'publish' || (absenceProvable !== null && noSubscriberSignal !== null);
  }

  private async checkAgain(): Promise<CheckResult> {
    try {
      const check = await this.options.checkEssentials(this.withMessages, this.stopping.signal);
      if (check.kind === 'missing' || check.kind === 'unreachable') return this.failed(check);
      const problem = check.kind === 'interrupted' ? this.noteInterrupted(check.details) : undefined;
      if (problem !== undefined) return { kind: 'failed', problem };
      if (check.kind === 'interrupted') this.schedule.ended('unknown', performance.now());
      this.interrupted = 0;
      return PASSED;
    } catch (error) {
      return this.failedWith(error);
    }
  }

  /** Lanes wait for the check, and nobody else would notice that it failed. */
  private failedWith(error: unknown): FailedResult {
    const details = error instanceof Error ? error.message : String(error);
    return {
      kind: 'failed',
      problem: `the check of the broker at ${withoutCredentials(this.options.url)} failed: ${details}`,
      error,
    };
  }

  private late(ms: number): FailedResult {
    const { url } = this.options;
    return {
      kind: 'failed',
      problem: `the check of the broker at ${withoutCredentials(url)} takes more than ${ms} ms`,
    };
  }

  private failed(check: FailedCheck): FailedResult {
    const { url } = this.options;
    this.interrupted = 0;
    if (check.kind === 'missing') {
      const { essential } = check;
      return { kind: 'missing', problem: lackingLine(url, essential), essential };
    }
    return { kind: 'failed', problem: unreachableBroker(url, check.details) };
  }

  /** @returns what is wrong; undefined if it was interrupted so often that it counts as a check with an unknown result */
  private noteInterrupted(details: string): string | undefined {
    const about = `the check of the broker at ${withoutCredentials(this.options.url)}`;
    if (++this.interrupted < MOST_INTERRUPTED) return `${about} was interrupted: ${details}`;
    this.withMessages = false;
    this.options.logger.warn(
      `${about} was interrupted ${this.interrupted} times (${details}): it is not known whether the broker has all that the ` +
        'service needs; it is checked again later; the command check-broker tells more',
    );
    return undefined;
  }

  private note(findings: BrokerFindings, durationMs: number): void {
    const { needs, facts, logger } = this.options;
    // Not to know is no reason to act on absences of which an earlier check found that they prove nothing.
    facts.absenceProvable = findings.absenceProvable ?? facts.absenceProvable;
    const { granted, noSubscriberSignal: no_subscriber_signal, absenceProvable: absence_provable } = findings;
    const found = { ...grantedFields(granted), no_subscriber_signal, absence_provable };
    // It is checked again after each lost connection: most of these checks find the same.
    const level = isDeepStrictEqual(found, this.logged) ? 'debug' : 'info';
    this.logged = found;
    logger[level]({ ...found, duration_ms: Math.round(durationMs) }, 'checked the broker');
    const lines = weakerPromises(findings, needs);
    for (const line of lines) if (!this.warned.includes(withoutIds(line))) logger.warn(line);
    this.warned = lines.map(withoutIds);
    for (const listener of this.listeners) listener(findings);
  }
}

/** Each check has topics of its own. */
function withoutIds(line: string): string {
  return line.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '');
}
