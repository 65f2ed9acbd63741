/**
 * Verifies clients on request: reads what the broker retains for them, in batches, and sends the readings to the mailboxes of
 * their shards. There they are applied in one order with the live messages.
 *
 * - V1 Before the broker is asked, a mailbox id is noted. A reading is applied only if no live message of that client came
 *   after that id; otherwise it is dropped and the client is verified again. The id is `RETAINED_LAG_MS` old, because a broker
 *   may retain a message later than it delivers it.
 * - V2 A request is a to-do of the shard. The memory of this class may be lost, and is lost with the grant.
 * - V3 A reading does not overtake earlier live messages if one lane keeps their order (see `lane-barrier.ts`).
 * - V4 A client that cannot be read does not prevent the others from being read.
 * - V5 A reading that contradicts an online client counts only if a second read confirms it (see `two-reads.ts`).
 * - V6 With a broker that cannot prove an absence, a reading that finds nothing changes nothing.
 * - V7 Requests for one client that come soon after each other are one verification.
 */
import {
  MAX_TOPICS_PER_READ,
  NothingReadableError,
  RETAINED_LAG_MS,
  type BrokerFacts,
  type RetainedReader,
} from '@app/broker';
import {
  Sampled,
  backoffMs,
  counter,
  gauge,
  secondsHistogram,
  type Logger,
  type Redis,
  valuesOf,
  sharedAbort,
} from '@app/platform';
import { payloadText, type TopicTemplate } from '@app/protocol';
import { encodeRetainedReading, sendReply, type Retained } from '@app/registry';
import type { Grant, Mailboxes } from '@app/sharding';
import type { VerificationRequest, VerificationResult } from '../shard/ports.js';
import { bisectingRead } from './bisecting-read.js';
import type { LaneBarrier } from './lane-barrier.js';
import { TwoReads } from './two-reads.js';
import { VerificationTurns, type Due, type Pending, type Shard } from './verification-turns.js';

const OUTCOMES = valuesOf<VerificationResult['outcome'] | 'failed'>({
  agreed: true,
  corrected: true,
  unproven: true,
  unconfirmed: true,
  'superseded-by-live': true,
  'stale-attempt': true,
  failed: true,
});
const verifications = counter('verifications', 'Verifications, by outcome.', { outcome: OUTCOMES });
const pendingGauge = gauge('verifications_pending', 'Clients whose verification is pending.');
const duration = secondsHistogram('verification_duration', 'Time from a request to the commit of its verification.');

/** Requests within this time after the first one belong to the same verification. */
const DEBOUNCE_MS = 100;
/** Time after which a client is read again if its result was not applied. */
export const RESULT_LOST_MS = 5000;
/** Most pending verifications; the to-dos of other clients come up again. */
const MOST_PENDING = 20_000;
/** Most clients that are remembered because their read failed. */
const MAX_UNVERIFIABLE = 1000;
/** Most pending clients of a shard without a to-do: unknown clients, of which a caller can name any number. */
const MOST_VOLATILE = 100;
/** Most callers that wait for the verification of one client. When there are more, the first have timed out already. */
const MOST_REPLIES = 16;

export interface VerifierDependencies {
  reader: Pick<RetainedReader, 'read'>;
  barrier: Pick<LaneBarrier, 'pass'>;
  /** What the last check of the broker has found. */
  facts: Pick<BrokerFacts, 'absenceProvable'>;
  mailboxes: Pick<Mailboxes, 'idBefore' | 'sendAll'>;
  redis: Redis;
  statusTopics: readonly TopicTemplate[];
  maxInboundBytes: number;
  /** Most clients that are read a second. */
  rate: number;
  logger: Logger;
}

/** Reasons of requests that come with a live message, or with a reading that brought the client online. */
const FRESH_REASONS: ReadonlySet<VerificationRequest['reason']> = new Set([
  'lanes',
  'redelivery',
  'dropped',
  'status-topic',
  'online',
]);

export class Verifier {
  private readonly shards = new Map<number, Shard>();
  private readonly stopping = sharedAbort();
  private working: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private count = 0;
  private attempts = 0;
  private readonly turns = new VerificationTurns();
  /** Clients whose last read failed: they are read separately. */
  private readonly unverifiable = new Set<string>();
  private readonly failures = new Sampled();
  private readonly unproven = new Sampled();

  constructor(private readonly dependencies: VerifierDependencies) {}

  /** The clients of this shard that are being verified. */
  pendingOf(grant: Grant): ReadonlyMap<string, Readonly<Pending>> {
    return this.shardOf(grant).pending;
  }

  request(grant: Grant, requests: readonly VerificationRequest[]): void {
    const shard = this.shardOf(grant);
    const { pending } = shard;
    const now = performance.now();
    for (const { clientId, reason, reply, sweep, isVolatile = false } of requests) {
      let verification = pending.get(clientId);
      if (verification === undefined) {
        if (this.count >= MOST_PENDING || (isVolatile && shard.volatile >= MOST_VOLATILE)) continue;
        verification = {
          clientId,
          isVolatile,
          replies: [],
          since: now,
          attempt: undefined,
          noted: '0-0',
          isConfirmed: false,
          provesAbsence: true,
          reads: new TwoReads(),
          sweep: undefined,
          dueAt: now + DEBOUNCE_MS,
          tries: 0,
        };
        pending.set(clientId, verification);
        if (isVolatile) shard.volatile++;
        this.add(1);
      }
      const isUnderWay = verification.attempt !== undefined;
      if (!isUnderWay && FRESH_REASONS.has(reason)) {
        verification.reads.restart();
        verification.dueAt = Math.max(verification.dueAt, now + RETAINED_LAG_MS);
      }
      if (reply !== undefined) {
        // The caller asks for what is retained from now on.
        if (isUnderWay) readAgain(verification, now + DEBOUNCE_MS);
        if (verification.replies.push(reply) > MOST_REPLIES) verification.replies.shift();
      }
      if (sweep !== undefined) verification.sweep = sweep;
    }
    this.work();
  }

  /** Call it after the commit: what became of the results in it. */
  async complete(grant: Grant, results: readonly VerificationResult[]): Promise<void> {
    const shard = this.shards.get(grant.index);
    for (const { clientId, attempt, outcome, answer } of results) {
      verifications.inc({ outcome });
      if (outcome === 'unproven') this.logUnproven(clientId);
      if (shard?.grant !== grant) continue;
      const verification = shard.pending.get(clientId);
      if (verification?.attempt !== attempt || outcome === 'stale-attempt') continue;
      if (outcome === 'unconfirmed' || outcome === 'superseded-by-live') {
        if (outcome === 'unconfirmed') verification.reads.awaitSecond();
        else verification.reads.restart();
        readAgain(verification, performance.now() + RETAINED_LAG_MS);
        continue;
      }
      this.remove(shard, verification);
      duration.observe((performance.now() - verification.since) / 1000);
      if (answer === undefined) continue;
      for (const reply of verification.replies) await sendReply(this.dependencies.redis, reply, answer);
    }
    this.work();
  }

  forget(grant: Grant): void {
    const shard = this.shards.get(grant.index);
    if (shard?.grant !== grant) return;
    this.shards.delete(grant.index);
    this.drop(shard);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake?.();
    await this.working;
  }

  private shardOf(grant: Grant): Shard {
    let shard = this.shards.get(grant.index);
    if (shard?.grant !== grant) {
      if (shard !== undefined) this.drop(shard);
      this.shards.set(grant.index, (shard = { grant, pending: new Map(), volatile: 0 }));
    }
    return shard;
  }

  /** The map is emptied: a read or a reply that is under way would otherwise remove its client a second time. */
  private drop({ pending }: Shard): void {
    this.add(-pending.size);
    pending.clear();
  }

  private add(change: number): void {
    this.count += change;
    pendingGauge.set(this.count);
  }

  private work(): void {
    this.wake?.();
    if (this.count === 0 || this.stopping.signal.aborted) return;
    this.working ??= this.run().finally(() => {
      this.working = undefined;
      // A request may have come after the last look.
      this.work();
    });
  }

  private async run(): Promise<void> {
    while (this.count > 0 && !this.stopping.signal.aborted) {
      const most = Math.max(1, Math.floor(MAX_TOPICS_PER_READ / this.dependencies.statusTopics.length));
      const { due, nextAt } = this.turns.take(this.shards, this.unverifiable, most);
      const begun = performance.now();
      if (due.length > 0) await this.verify(due);
      // After a batch, waits as the rate requires; without one, until the next client is due.
      const until = due.length > 0 ? begun + (due.length / this.dependencies.rate) * 1000 : nextAt;
      await this.pause(until - performance.now(), due.length === 0);
    }
  }

  private async verify(due: readonly Due[]): Promise<void> {
    const { reader, statusTopics, logger } = this.dependencies;
    try {
      await this.beginAttempt(due);
      const read = (part: readonly Due[]): Promise<Map<string, Buffer>> =>
        reader.read(part.flatMap(([, { clientId }]) => statusTopics.map((topic) => topic.topicOf(clientId))));
      const outcome = await bisectingRead(due, read, (error) => error instanceof NothingReadableError);
      if (outcome.read.length > 0) await this.dependencies.barrier.pass(this.stopping.signal);
      for (const { items, result } of outcome.read) await this.send(items, result);
      for (const { item, error } of outcome.failed) this.giveUp(item, error);
      for (const [, verification] of outcome.untried) this.tryAgain(verification);
      if (outcome.untried.length > 0)
        logger.warn(
          { err: outcome.cause, clients: outcome.untried.length },
          'nothing can be read from the broker: clients keep their state, and are verified when it is possible again',
        );
    } catch (error) {
      logger.warn({ err: error, clients: due.length }, 'a batch of verifications failed; trying again');
      for (const [, verification] of due) if (verification.dueAt === Infinity) this.tryAgain(verification);
    }
  }

  /** Notes the positions of the mailboxes: live messages after them take precedence over what is read (V1). */
  private async beginAttempt(due: readonly Due[]): Promise<void> {
    for (const [{ grant }, verification] of due) {
      verification.attempt = `${grant.epoch}.${++this.attempts}`;
      verification.dueAt = Infinity;
      verification.tries++;
    }
    const noted = new Map(
      await Promise.all(
        Array.from(
          new Set(due.map(([shard]) => shard)),
          async (shard) =>
            [shard, await this.dependencies.mailboxes.idBefore(shard.grant.index, RETAINED_LAG_MS)] as const,
        ),
      ),
    );
    for (const [shard, verification] of due) verification.noted = noted.get(shard) ?? '0-0';
  }

  private async send(read: readonly Due[], found: ReadonlyMap<string, Buffer>): Promise<void> {
    const now = performance.now();
    for (const shard of new Set(read.map(([of]) => of))) {
      // A caller's request has ended the attempts of some.
      const all = read.flatMap(([of, one]) => (of === shard && one.attempt !== undefined ? [one] : []));
      const readings = all.map((verification) => this.reading(verification, found));
      for (const verification of all) {
        this.unverifiable.delete(verification.clientId);
        // Before it is sent: its result may come before the reply of Redis.
        verification.dueAt = now + RESULT_LOST_MS;
      }
      const room = await this.dependencies.mailboxes.sendAll(shard.grant.index, readings);
      for (const verification of all.slice(room)) this.tryAgain(verification);
    }
  }

  /** The to-do stays and comes up again. Then the client is read separately. */
  private giveUp([shard, verification]: Due, error: unknown): void {
    const { clientId } = verification;
    verifications.inc({ outcome: 'failed' });
    this.failures.take((skipped) => {
      const about = { err: error, client_id: clientId, skipped };
      this.dependencies.logger.error(about, 'what the broker retains for a client cannot be read');
    });
    if (this.unverifiable.size < MAX_UNVERIFIABLE) this.unverifiable.add(clientId);
    if (shard.pending.get(clientId) === verification) this.remove(shard, verification);
  }

  private logUnproven(clientId: string): void {
    this.unproven.take((skipped) => {
      const about = { client_id: clientId, skipped };
      this.dependencies.logger.warn(
        about,
        'this broker cannot prove that it retains nothing for a client: it keeps its state',
      );
    });
  }

  private remove(shard: Shard, { clientId, isVolatile }: Pending): void {
    shard.pending.delete(clientId);
    if (isVolatile) shard.volatile--;
    this.add(-1);
  }

  private reading(verification: Pending, found: ReadonlyMap<string, Buffer>): string {
    const { clientId, attempt = '', sweep } = verification;
    const retained: Retained[] = [];
    for (const template of this.dependencies.statusTopics) {
      const payload = found.get(template.topicOf(clientId));
      if (payload === undefined || payload.length === 0) continue;
      retained.push({ topic: template.template, ...payloadText(payload, this.dependencies.maxInboundBytes) });
    }
    verification.provesAbsence = this.dependencies.facts.absenceProvable !== false;
    Object.assign(verification, verification.reads.add(retained, verification.noted));
    return encodeRetainedReading({ clientId, attempt, retained, ...(sweep && { sweep }) });
  }

  private tryAgain(verification: Pending): void {
    readAgain(verification, performance.now() + backoffMs(verification.tries, DEBOUNCE_MS / 2, 2000));
  }

  /** Waits for `ms`. If `forWork`, a new request ends the wait. */
  private pause(ms: number, forWork: boolean): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, Math.min(Math.max(0, ms), RESULT_LOST_MS));
      this.wake = forWork || this.stopping.signal.aborted ? done : undefined;
    });
  }
}

function readAgain(verification: Pending, dueAt: number): void {
  verification.attempt = undefined;
  verification.dueAt = dueAt;
}
