/**
 * Verifies clients on request: reads what the broker retains for them, in batches, and sends the readings to their
 * mailboxes. There they are applied in one order with the live messages.
 *
 * - V1 The mailbox's last id is noted before the broker is asked. A reading is applied only if no live message of
 *   that client stands behind that id; otherwise it is dropped and the client is verified again.
 * - V2 A request is a to-do of the shard. What is remembered here may be lost, and is lost with the grant.
 * - V3 A reading does not overtake the live messages before it if one lane keeps their order (see `lane-barrier.ts`).
 * - V4 A client that cannot be read does not keep the others from being read.
 * - V5 An absence that would take a client offline counts if a second read finds it again (see `absences.ts`).
 * - V6 Requests for one client that follow each other closely are one verification.
 */
import { BrokerUnreachableError, MAX_TOPICS_PER_READ, type RetainedReader } from '@app/broker';
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
import { encodeRetainedReading, sendReply, type ConnectionDirectory, type Retained } from '@app/registry';
import type { Grant, Mailboxes } from '@app/sharding';
import { Absences } from './absences.js';
import { bisectingRead } from './bisecting-read.js';
import type { LaneBarrier } from './lane-barrier.js';
import type { VerificationRequest, VerificationResult, Verification } from '../shard/ports.js';

const OUTCOMES = valuesOf<VerificationResult['outcome'] | 'failed'>({
  agreed: true,
  corrected: true,
  'superseded-by-live': true,
  'stale-attempt': true,
  failed: true,
});
const verifications = counter('verifications', 'Verifications, by outcome.', { outcome: OUTCOMES });
const pendingGauge = gauge('verifications_pending', 'Clients that are being verified or wait for it.');
const duration = secondsHistogram('verification_duration', 'Time from a request to the commit of its verification.');

/** Requests within this time after the first belong to the same verification, in milliseconds. */
const DEBOUNCE_MS = 100;
/** What is absent is read again after this, in milliseconds. */
export const ABSENT_AGAIN_MS = 500;
/** A result that was not applied within this is read again. */
export const RESULT_LOST_MS = 5000;
/** Most clients remembered here; the others' to-dos come up again. */
const MOST_PENDING = 20_000;
const MAX_UNVERIFIABLE = 1000;
/** Most clients of a shard that no to-do stands for: clients that are not known, of which a caller can name any number. */
const MOST_VOLATILE = 100;
/** Most callers that wait for the verification of one client; the first ones have had their time-out by then. */
const MOST_REPLIES = 16;

export interface VerifierDependencies {
  reader: Pick<RetainedReader, 'read'>;
  barrier: Pick<LaneBarrier, 'pass'>;
  mailboxes: Pick<Mailboxes, 'lastId' | 'sendAll'>;
  directory: Pick<ConnectionDirectory, 'map'>;
  redis: Redis;
  statusTopics: readonly TopicTemplate[];
  maxInboundBytes: number;
  /** Most clients a second. */
  rate: number;
  logger: Logger;
}

interface Shard {
  grant: Grant;
  pending: Map<string, Verification>;
  /** How many of them no to-do stands for. */
  volatile: number;
}

type Due = readonly [Shard, Verification];

export class Verifier {
  private readonly shards = new Map<number, Shard>();
  private readonly stopping = sharedAbort();
  private working: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private count = 0;
  private attempts = 0;
  /** Index of the shard with which the last full batch ended. */
  private served = -1;
  /** Clients whose read failed last time. */
  private readonly unverifiable = new Set<string>();
  private readonly failures = new Sampled();

  private readonly absences: Absences;

  constructor(private readonly dependencies: VerifierDependencies) {
    this.absences = new Absences(dependencies.directory, dependencies.statusTopics);
  }

  /** What is being verified on this shard. */
  pendingOf(grant: Grant): ReadonlyMap<string, Verification> {
    return this.shardOf(grant).pending;
  }

  request(grant: Grant, requests: readonly VerificationRequest[]): void {
    const shard = this.shardOf(grant);
    const { pending } = shard;
    const now = performance.now();
    for (const { clientId, reply, sweep, isVolatile = false } of requests) {
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
          sweep: undefined,
          missing: undefined,
          dueAt: now + DEBOUNCE_MS,
          tries: 0,
        };
        pending.set(clientId, verification);
        if (isVolatile) shard.volatile++;
        this.add(1);
      }
      if (reply !== undefined && verification.replies.push(reply) > MOST_REPLIES) verification.replies.shift();
      if (sweep !== undefined) verification.sweep = sweep;
    }
    this.work();
  }

  /** After the commit: what became of results. */
  async complete(grant: Grant, outcomes: readonly VerificationResult[]): Promise<void> {
    const shard = this.shardOf(grant);
    for (const { clientId, attempt, outcome, answer } of outcomes) {
      verifications.inc({ outcome });
      const verification = shard.pending.get(clientId);
      if (verification?.attempt !== attempt) continue;
      if (outcome === 'superseded-by-live') {
        this.again(verification);
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
    this.add(-shard.pending.size);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake?.();
    await this.working;
  }

  private shardOf(grant: Grant): Shard {
    let shard = this.shards.get(grant.index);
    if (shard?.grant !== grant) {
      if (shard !== undefined) this.add(-shard.pending.size);
      this.shards.set(grant.index, (shard = { grant, pending: new Map(), volatile: 0 }));
    }
    return shard;
  }

  private add(change: number): void {
    this.count += change;
    pendingGauge.set(this.count);
  }

  private work(): void {
    this.wake?.();
    if (this.count > 0) this.working ??= this.run().finally(() => (this.working = undefined));
  }

  private async run(): Promise<void> {
    while (this.count > 0 && !this.stopping.signal.aborted) {
      const { due, nextAt } = this.takeDue();
      const begun = performance.now();
      if (due.length > 0) await this.verify(due);
      // The rate holds over what has just been done; otherwise until the next one is due.
      const until = due.length > 0 ? begun + (due.length / this.dependencies.rate) * 1000 : nextAt;
      await this.pause(until - performance.now(), due.length === 0);
    }
  }

  private takeDue(): { due: Due[]; nextAt: number } {
    const now = performance.now();
    const most = Math.max(1, Math.floor(MAX_TOPICS_PER_READ / this.dependencies.statusTopics.length));
    const due: Due[] = [];
    let nextAt = Infinity;
    for (const shard of this.inTurn()) {
      for (const verification of shard.pending.values()) {
        if (verification.dueAt > now) nextAt = Math.min(nextAt, verification.dueAt);
        else if (this.unverifiable.has(verification.clientId)) {
          if (due.length === 0) {
            this.served = shard.grant.index;
            return { due: [[shard, verification]], nextAt: now };
          }
        } else if (due.push([shard, verification]) === most) {
          this.served = shard.grant.index;
          return { due, nextAt: now };
        }
      }
    }
    return { due, nextAt };
  }

  /** The shards, beginning behind the one that was served last: each gets its turn, however much the others have to do. */
  private inTurn(): Shard[] {
    const shards = [...this.shards.values()].sort((a, b) => a.grant.index - b.grant.index);
    const first = shards.findIndex(({ grant }) => grant.index > this.served);
    return first <= 0 ? shards : [...shards.slice(first), ...shards.slice(0, first)];
  }

  private async verify(due: readonly Due[]): Promise<void> {
    const { reader, statusTopics, logger } = this.dependencies;
    try {
      await this.begin(due);
      const read = (some: readonly Due[]): Promise<Map<string, Buffer>> =>
        reader.read(some.flatMap(([, { clientId }]) => statusTopics.map((topic) => topic.topicOf(clientId))));
      const outcome = await bisectingRead(due, read, (error) => error instanceof BrokerUnreachableError);
      if (outcome.read.length > 0) await this.dependencies.barrier.pass(this.stopping.signal);
      for (const { items, result } of outcome.read) await this.send(items, result);
      for (const { item, error } of outcome.failed) this.giveUp(item, error);
      for (const [, verification] of outcome.untried) this.again(verification);
      if (outcome.untried.length > 0)
        logger.warn({ clients: outcome.untried.length }, 'verification waits for the broker');
    } catch (error) {
      logger.warn({ err: error, clients: due.length }, 'verification failed; trying again');
      for (const [, verification] of due) if (verification.dueAt === Infinity) this.again(verification);
    }
  }

  /** Notes the last ids of the mailboxes: what comes live from here on stands above what is read (V1). */
  private async begin(due: readonly Due[]): Promise<void> {
    for (const [{ grant }, verification] of due) {
      verification.attempt = `${grant.epoch}.${++this.attempts}`;
      verification.dueAt = Infinity;
      verification.tries++;
    }
    const noted = new Map(
      await Promise.all(
        Array.from(
          new Set(due.map(([shard]) => shard)),
          async (shard) => [shard, await this.dependencies.mailboxes.lastId(shard.grant.index)] as const,
        ),
      ),
    );
    for (const [shard, verification] of due) verification.noted = noted.get(shard) ?? '0-0';
  }

  private async send(read: readonly Due[], found: ReadonlyMap<string, Buffer>): Promise<void> {
    const now = performance.now();
    for (const shard of new Set(read.map(([of]) => of))) {
      const all = read.filter(([of]) => of === shard).map(([, verification]) => verification);
      const absent = await this.absences.toConfirm(shard.grant.index, all, found);
      for (const verification of absent) {
        verification.attempt = undefined;
        verification.dueAt = now + ABSENT_AGAIN_MS;
      }
      const readable = all.filter((verification) => !absent.has(verification));
      if (readable.length === 0) continue;
      const room = await this.dependencies.mailboxes.sendAll(
        shard.grant.index,
        readable.map((verification) => this.result(verification, found)),
      );
      readable.forEach((verification, i) => {
        this.unverifiable.delete(verification.clientId);
        if (i < room) verification.dueAt = now + RESULT_LOST_MS;
        else this.again(verification);
      });
    }
  }

  /** Its to-do stays, and comes up again; it is read alone then. */
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

  private remove(shard: Shard, { clientId, isVolatile }: Verification): void {
    shard.pending.delete(clientId);
    if (isVolatile) shard.volatile--;
    this.add(-1);
  }

  private result({ clientId, attempt = '', sweep }: Verification, found: ReadonlyMap<string, Buffer>): string {
    const retained: Retained[] = [];
    for (const template of this.dependencies.statusTopics) {
      const payload = found.get(template.topicOf(clientId));
      if (payload === undefined || payload.length === 0) continue;
      retained.push({ topic: template.template, ...payloadText(payload, this.dependencies.maxInboundBytes) });
    }
    return encodeRetainedReading({ clientId, attempt, retained, ...(sweep && { sweep }) });
  }

  private again(verification: Verification): void {
    verification.attempt = undefined;
    verification.dueAt = performance.now() + backoffMs(verification.tries, DEBOUNCE_MS / 2, 2000);
  }

  /** Waits; new work ends a wait for work. */
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
