/**
 * What becomes of the messages to one client that is online, as the documents promise it: claims, publishes, answers and
 * deadlines. It is pure, and knows nothing of how Redis keeps them.
 */
import type { ReportOutcome, StoredStatus } from '@app/registry';

/** As events show it. */
type Shown = StoredStatus | 'held';

export interface ModelMessage {
  readonly id: string;
  readonly hasTimeout: boolean;
  status: StoredStatus;
  /** The statuses that events tell. */
  shown: Shown[];
  attempts: number;
  /** In flight behind another one: it is not known whether it was published. */
  isAhead: boolean;
  foundNoSubscribers: boolean;
  /** An owner has published it, and did not learn the outcome. */
  isOutcomeUnknown: boolean;
  /** It failed since nobody knows the outcome. */
  hasFailedUnknown: boolean;
  hasDeadline: boolean;
  isOverdue: boolean;
  hasExpired: boolean;
  isForgotten: boolean;
  answer: { id: string; payload: string; late: boolean } | undefined;
  /** All that the client has reported; the last one is shown. */
  progress: number[];
}

export interface Claim {
  messageId: string;
  attempt: number;
}

export type Publish = Claim & { outcome: 'sent' | 'retry' | 'no-subscribers' };

/** What a client reports about a message. The payload of an error is what is shown of it if it is late. */
export type ModelReport = { messageId: string; isForeign: boolean } & (
  | { kind: 'message-response' | 'message-error'; answerId: string; payload: string }
  | { kind: 'message-progress'; percent: number }
);

const FINAL: ReadonlySet<StoredStatus> = new Set(['answered', 'failed', 'unanswered', 'expired', 'cancelled']);
const MAX_IN_FLIGHT = 16;

export function isAwaiting({ status, hasTimeout }: ModelMessage): boolean {
  return status === 'sent' && hasTimeout;
}

export function isUnfinished({ status }: ModelMessage): boolean {
  return status === 'queued' || status === 'in_flight';
}

export class AnswersModel {
  readonly messages: ModelMessage[] = [];
  /** The unfinished messages, in the order of acceptance. */
  outbox: ModelMessage[] = [];
  /** Events about answers and errors that match no message. */
  readonly unmatched: { type: string; in_response_to: string; reason?: string }[] = [];
  hasOwner = false;
  /** What the owner has still to complete. */
  held: Claim[] = [];
  /** Whether the client's outbox is being published. */
  private isClaimed = false;
  /** Whether an owner is to take the outbox. */
  private ready: 'no' | 'later' | 'now' = 'no';

  /** A message that nothing is before is claimed with its acceptance. */
  accept(id: string, hasTimeout: boolean): void {
    const flags = {
      isAhead: false,
      foundNoSubscribers: false,
      isOutcomeUnknown: false,
      hasDeadline: false,
      isOverdue: false,
    };
    const ends = { hasFailedUnknown: false, hasExpired: false, isForgotten: false, answer: undefined, progress: [] };
    const m: ModelMessage = { id, hasTimeout, status: 'queued', shown: ['queued'], attempts: 0, ...flags, ...ends };
    this.messages.push(m);
    this.outbox.push(m);
    if (this.hasOwner && this.outbox.length === 1) {
      this.held.push(this.claim(m));
      this.isClaimed = true;
    } else if (!this.isClaimed) this.ready = 'now';
  }

  /** The back-off of the client's outbox has ended. */
  endBackOff(): void {
    if (this.ready !== 'no') this.ready = 'now';
  }

  /** A step of the owner. @param last of the further messages that it holds @returns what it claims */
  step(results: readonly Publish[], last?: string): Claim[] {
    const claims: Claim[] = [];
    for (const [i, result] of results.entries()) {
      if (this.complete(result)) this.leave(true);
      else if (i === results.length - 1 && this.isClaimed) {
        const wasSent = result.outcome === 'sent';
        if (wasSent && last !== undefined) this.claimBehind(last, claims);
        else this.claimHead(wasSent, claims);
      }
    }
    this.takeReady(claims);
    return claims;
  }

  /** A new owner cannot know what the former one has published, and claims the head again. */
  takeOver(): Claim[] {
    this.hasOwner = true;
    const claims: Claim[] = [];
    if (this.isClaimed) {
      for (const m of this.inFlight()) this.notePublish(m);
      this.claimHead(false, claims);
    }
    this.takeReady(claims);
    this.held = claims;
    return claims;
  }

  release(): void {
    if (this.isClaimed) {
      const [head] = this.inFlight();
      if (head !== undefined) {
        this.putBack('queued', head);
        this.notePublish(head);
        this.become(head, 'queued');
        head.isOutcomeUnknown = true;
      }
      this.ready = 'now';
    }
    [this.isClaimed, this.hasOwner, this.held] = [false, false, []];
  }

  report(report: ModelReport): ReportOutcome {
    const m = this.find(report.messageId);
    const outcome = this.outcomeOf(report, m);
    if (m !== undefined && (outcome === 'kept' || outcome === 'answered' || outcome === 'failed')) this.notePublish(m);
    if (report.kind === 'message-progress') {
      if (outcome === 'kept') m?.progress.push(report.percent);
      return outcome;
    }
    const { kind, messageId: in_response_to, answerId: id, payload } = report;
    if (m !== undefined && (outcome === 'answered' || outcome === 'late'))
      m.answer = { id, payload, late: outcome === 'late' };
    if (m !== undefined && (outcome === 'answered' || outcome === 'failed')) this.become(m, outcome);
    const isUnmatched = !['answered', 'failed', 'late', 'repeated'].includes(outcome);
    if (isUnmatched && kind === 'message-response')
      this.unmatched.push({ type: 'message.unmatched_response', in_response_to, reason: outcome });
    else if (isUnmatched) this.unmatched.push({ type: 'message.unmatched_error', in_response_to });
    return outcome;
  }

  private outcomeOf(report: ModelReport, m: ModelMessage | undefined): ReportOutcome {
    if (m === undefined) return 'unknown';
    if (report.isForeign) return 'foreign';
    // It counts as soon as the message was claimed once; one that is in flight may have been published.
    if (m.attempts === 0 && m.status !== 'in_flight') return 'not-published';
    if (report.kind === 'message-progress') return FINAL.has(m.status) ? 'already-final' : 'kept';
    if (m.answer?.id === report.answerId) return 'repeated';
    // Of an error only its details are kept, in the history: each further one is a repeat.
    const hasReported = m.status === 'failed' && !m.hasFailedUnknown;
    if (hasReported && report.kind === 'message-error') return 'repeated';
    if (m.answer !== undefined || hasReported) return 'already-final';
    if (FINAL.has(m.status)) return 'late';
    return report.kind === 'message-response' ? 'answered' : 'failed';
  }

  cancel(id: string): { kind: 'cancelled' | 'unknown' } | { kind: 'too-late'; status: StoredStatus } {
    const m = this.find(id);
    if (m === undefined) return { kind: 'unknown' };
    if (m.status !== 'queued') return { kind: 'too-late', status: m.status };
    this.become(m, 'cancelled');
    return { kind: 'cancelled' };
  }

  /** The housekeeping of the shard. */
  sweep(): void {
    for (const m of this.messages) {
      if (m.status === 'queued' && m.hasExpired) this.expire(m, false);
      else if (isAwaiting(m) && m.isOverdue) this.become(m, 'unanswered');
    }
  }

  /** The retention of all finished messages has ended. */
  forget(): void {
    for (const m of this.messages) if (!isUnfinished(m) && !isAwaiting(m)) m.isForgotten = true;
  }

  find(id: string): ModelMessage | undefined {
    return this.messages.find((m) => m.id === id && !m.isForgotten);
  }

  /** The status that a caller sees. */
  statusOf({ status }: ModelMessage): Shown {
    return status === 'queued' && this.outbox[0]?.foundNoSubscribers === true ? 'held' : status;
  }

  private become(m: ModelMessage, status: StoredStatus, shown: Shown = status): void {
    m.status = status;
    m.shown.push(shown);
    if (isUnfinished(m)) return;
    if (isAwaiting(m)) m.hasDeadline = true;
    m.isAhead = false;
    this.outbox = this.outbox.filter((one) => one !== m);
  }

  /** @returns whether the message waits for another attempt */
  private complete({ messageId, attempt, outcome }: Publish): boolean {
    const m = this.find(messageId);
    if (m?.status !== 'in_flight') return false;
    if (outcome === 'sent') {
      this.notePublish(m);
      this.become(m, 'sent');
      return false;
    }
    // A later claim wins.
    if (attempt !== m.attempts + (m.isAhead ? 1 : 0)) return false;
    const shown = outcome === 'retry' ? 'queued' : 'held';
    this.putBack(shown, m);
    this.notePublish(m);
    this.become(m, 'queued', shown);
    m.foundNoSubscribers = outcome === 'no-subscribers';
    return true;
  }

  private leave(comesBack: boolean): void {
    this.isClaimed = false;
    if (!comesBack) this.ready = 'no';
    else this.ready = this.ready === 'no' ? 'later' : 'now';
  }

  private takeReady(claims: Claim[]): void {
    if (this.ready !== 'now') return;
    this.ready = this.isClaimed ? 'later' : 'no';
    if (this.isClaimed) return;
    this.isClaimed = true;
    this.claimHead(false, claims);
  }

  private claim(m: ModelMessage): Claim {
    m.attempts++;
    if (m.status === 'queued') this.become(m, 'in_flight');
    return { messageId: m.id, attempt: m.attempts };
  }

  private claimHead(wasSent: boolean, claims: Claim[]): void {
    for (let head = this.outbox[0]; head !== undefined; head = this.outbox[0]) {
      if (head.isAhead) [head.isAhead, head.status] = [false, 'queued'];
      if (!head.hasExpired) {
        claims.push(this.claim(head));
        if (wasSent) this.claimBehind(head.id, claims);
        return;
      }
      this.expire(head, head.status === 'in_flight');
    }
    this.leave(false);
  }

  private expire(m: ModelMessage, isInFlight: boolean): void {
    m.hasFailedUnknown = isInFlight || m.isOutcomeUnknown;
    this.become(m, m.hasFailedUnknown ? 'failed' : 'expired');
  }

  /** Claims ahead what waits behind a message. */
  private claimBehind(id: string, claims: Claim[]): void {
    const at = this.outbox.findIndex((m) => m.id === id);
    if (at === -1) return;
    for (const m of this.outbox.slice(at + 1, MAX_IN_FLIGHT)) {
      if (m.hasExpired) return;
      if (m.status === 'queued') [m.status, m.isAhead] = ['in_flight', true];
      else if (!m.isAhead) m.attempts++;
      claims.push({ messageId: m.id, attempt: m.attempts + (m.isAhead ? 1 : 0) });
    }
  }

  private inFlight(): ModelMessage[] {
    const end = this.outbox.findIndex(({ status }) => status !== 'in_flight');
    return this.outbox.slice(0, end === -1 ? MAX_IN_FLIGHT : end);
  }

  /** Those that are claimed ahead were not published. */
  private putBack(shown: Shown, kept: ModelMessage): void {
    for (const m of this.inFlight()) {
      if (m === kept) continue;
      if (m.isAhead) [m.isAhead, m.status] = [false, 'queued'];
      else this.become(m, 'queued', shown);
    }
  }

  private notePublish(m: ModelMessage): void {
    if (!m.isAhead) return;
    m.isAhead = false;
    m.attempts++;
    m.shown.push('in_flight');
  }
}
