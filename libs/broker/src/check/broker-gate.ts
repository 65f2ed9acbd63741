/**
 * Lets the app use the broker only if the broker has what the app cannot do without.
 *
 * - G1 The start fails if the first check finds that an essential is missing. It does not wait for a broker that is away:
 *   the check is made again in the background.
 * - G2 No lane connects before a check has passed that ended after the lane had asked. If an essential is missing, no lane
 *   connects: a broker without Retain As Published would make the service refuse healthy clients.
 * - G3 Lanes that ask at the same time share one check, and what is wrong is logged once until it changes.
 * - G4 A check that the broker interrupts proves nothing. After three in a row the broker counts as checked: it is not known
 *   to be wrong, and a service that never starts helps nobody.
 */
import { RequirementError, backoffMs, pause, sharedAbort, type Logger } from '@app/platform';
import { waitUntil } from '../timed-wait.js';
import type { BrokerCheck, BrokerFindings, EssentialsCheck, FailedCheck } from './broker-check.js';
import type { BrokerFacts } from './broker-facts.js';
import { lackingLine, withoutCredentials, type Needs } from './essentials.js';
import { grantedFields } from './granted.js';
import { weakerPromises } from './weaker-promises.js';

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
  /** What the check threw. */
  error?: unknown;
}
type CheckResult = typeof PASSED | FailedResult;

export interface BrokerGateOptions {
  url: string;
  needs: Needs;
  facts: BrokerFacts;
  checkAll: () => Promise<BrokerCheck>;
  /** As `checkEssentials`. */
  checkEssentials: (withMessages: boolean) => Promise<EssentialsCheck>;
  logger: Logger;
}

export class BrokerGate {
  /** Why the app cannot use the broker; undefined if it can, as far as is known. */
  problem: string | undefined = 'the broker has not been checked yet';
  /** The problem that was logged last. */
  private reported: string | undefined;
  private isChecked = false;
  /** Whether the messages of a check get a result from this broker. */
  private withMessages = true;
  private interrupted = 0;
  private passing: Promise<void> | undefined;
  private readonly listeners: ((findings: BrokerFindings) => void)[] = [];
  private readonly stopping = sharedAbort();

  constructor(private readonly options: BrokerGateOptions) {}

  /** `listener` is called with what each complete check has found. */
  onChecked(listener: (findings: BrokerFindings) => void): void {
    this.listeners.push(listener);
  }

  /** @throws RequirementError if the broker lacks an essential */
  async start(): Promise<void> {
    const check = await this.check();
    if (check.kind === 'missing') throw new RequirementError(check.problem);
    if (check.kind === 'passed') return;
    this.report(check);
    this.passing ??= this.untilPassed(1);
  }

  /** Resolves when a check has passed. @returns false if `signal` was aborted, or the gate stopped, before */
  async pass(signal: AbortSignal): Promise<boolean> {
    this.passing ??= this.untilPassed(0);
    return (await waitUntil(Infinity, this.passing, signal)) === 'resolved' && !this.isStopping();
  }

  /** Ends the checks in the background. Lanes that wait do not pass. */
  stop(): void {
    this.stopping.abort();
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  /** `failures`: checks in a row that have failed before. */
  private async untilPassed(failures: number): Promise<void> {
    try {
      if (failures > 0) await this.wait(AWAY_BACKOFF, failures);
      for (let count = failures; !this.isStopping(); count++) {
        const check = await this.check();
        if (check.kind === 'passed') {
          if (this.reported !== undefined) this.options.logger.info('the broker has what this app needs');
          this.reported = undefined;
          return;
        }
        this.report(check);
        await this.wait(check.kind === 'missing' ? MISSING_BACKOFF : AWAY_BACKOFF, count);
      }
    } finally {
      this.passing = undefined;
    }
  }

  private wait({ baseMs, capMs }: { baseMs: number; capMs: number }, failures: number): Promise<boolean> {
    return pause(backoffMs(failures, baseMs, capMs), this.stopping.signal);
  }

  private report({ kind, problem, error }: FailedResult): void {
    if (problem === this.reported) return;
    this.reported = problem;
    const { logger, needs } = this.options;
    if (error !== undefined) logger.error({ err: error }, problem);
    else if (kind !== 'missing') logger.warn(problem);
    else logger.error(needs === 'intake' ? `${problem}; no lane connects before that is done` : problem);
  }

  private async check(): Promise<CheckResult> {
    const result = await this.checkOnce().catch((error: unknown) => this.failedWith(error));
    this.problem = result.kind === 'passed' ? undefined : result.problem;
    return result;
  }

  private async checkOnce(): Promise<CheckResult> {
    return this.isChecked ? this.checkAgain() : this.checkFirst();
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

  private async checkFirst(): Promise<CheckResult> {
    const begunAt = performance.now();
    const check = await this.options.checkAll();
    if (check.kind !== 'checked' && check.kind !== 'interrupted') return this.failed(check);
    const problem = check.kind === 'interrupted' ? this.noteInterrupted(check.details) : undefined;
    if (problem !== undefined) return { kind: 'failed', problem };
    this.isChecked = true;
    this.interrupted = 0;
    if (check.findings.notAllowed !== undefined) this.withMessages = false;
    this.note(check.findings, performance.now() - begunAt);
    return PASSED;
  }

  private async checkAgain(): Promise<CheckResult> {
    const check = await this.options.checkEssentials(this.withMessages);
    if (check.kind === 'missing' || check.kind === 'unreachable') return this.failed(check);
    const problem = check.kind === 'interrupted' ? this.noteInterrupted(check.details) : undefined;
    if (problem !== undefined) return { kind: 'failed', problem };
    this.interrupted = 0;
    return PASSED;
  }

  private failed(check: FailedCheck): FailedResult {
    const { url } = this.options;
    this.interrupted = 0;
    if (check.kind === 'missing') return { kind: 'missing', problem: lackingLine(url, check.essential) };
    return { kind: 'failed', problem: `the broker at ${withoutCredentials(url)} cannot be reached: ${check.details}` };
  }

  /** @returns what is wrong; undefined if it was interrupted so often that it counts as a check with an unknown result */
  private noteInterrupted(details: string): string | undefined {
    const about = `the check of the broker at ${withoutCredentials(this.options.url)}`;
    if (++this.interrupted < MOST_INTERRUPTED) return `${about} was interrupted: ${details}`;
    this.withMessages = false;
    this.options.logger.warn(
      `${about} was interrupted ${this.interrupted} times (${details}): it is not known whether the broker has all that the ` +
        'service needs; the command check-broker tells more',
    );
    return undefined;
  }

  private note(findings: BrokerFindings, durationMs: number): void {
    const { needs, facts, logger } = this.options;
    facts.absenceProvable = findings.absenceProvable;
    const { granted, noSubscriberSignal: no_subscriber_signal, absenceProvable: absence_provable } = findings;
    const duration_ms = Math.round(durationMs);
    logger.info(
      { ...grantedFields(granted), no_subscriber_signal, absence_provable, duration_ms },
      'checked the broker',
    );
    for (const line of weakerPromises(findings, needs)) logger.warn(line);
    for (const listener of this.listeners) listener(findings);
  }
}
