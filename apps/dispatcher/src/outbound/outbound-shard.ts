/**
 * The outbound side of a shard while this process has its lease. It claims the heads of outboxes, publishes them, and completes
 * them in the same step that claims what follows. Each connection has one publish in flight at a time; what is claimed behind it
 * is published without asking Redis in between.
 *
 * It learns of work through the stream of claims: the accept script claims the message of a client without others for it, and
 * rings for connections that are ready. Otherwise it asks Redis only when it has results, or when the time of a retry has come.
 */
import { counter, sharedAbort } from '@app/platform';
import type { ClaimedMessage, ClaimEntry, OutboundRelease, OutboundStep, PublishResult } from '@app/registry';
import { StaleOwnerError, isAfter } from '@app/sharding';
import type { ClaimQueue } from './claim-queue.js';
import { ClaimQueues } from './claim-queues.js';
import { ANSWER_MS, GATHER_MS, GIVE_UP_MS, IDLE_MS, MOST_RESULTS, TURN_MS } from './outbound-times.js';
import type { OutboundDependencies, OutboundLease } from './outbound-dependencies.js';
import { reportStep } from './step-report.js';
import { untilAnswered } from './until-answered.js';

const unknownClaims = counter(
  'outbound_claims_found',
  'Claims of which the owner of a shard learned late, or of a former owner.',
);

export class OutboundShard {
  private readonly claims = new ClaimQueues();
  private results: PublishResult[] = [];
  private read: string | undefined;
  private trimmed: string | undefined;
  /** Whether connections may be ready. */
  private mayBeReady = true;
  /** Whether results must be completed at once. */
  private isUrgent = false;
  /** Whether a step is under way, which may bring further messages of the connections with results. */
  private isStepping = false;
  private isClosing = false;
  private isEnded = false;
  /** While there are any, completed connections are left, so that other shards get permits: those of the turn that has ended. */
  private readonly yielding = new Set<string>();
  private turnEndsAt = 0;
  /** Permits that this shard has. */
  private permits = 0;
  /** Connections with a publish in flight. */
  private publishing = 0;
  private isWaitingForPermit = false;
  private isUnanswered = false;
  /** Clock of Redis minus `performance.now`; at least its true value. Known before anything is published. */
  private clockOffset = Infinity;
  private readyTimer: NodeJS.Timeout | undefined;
  private idleSince = performance.now();
  private firstResultAt = 0;
  /** Redis may have given the lease back already. */
  isPassivating = false;
  private readonly aborted = sharedAbort();
  private changed: () => void = () => undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly dependencies: OutboundDependencies,
    private readonly lease: OutboundLease,
  ) {}

  /** Takes over what is claimed, and begins. Resolves when claims can be received. */
  async start(): Promise<void> {
    await this.findClaims();
    this.running = this.run();
  }

  /**
   * The entry of the stream of claims after which to read; undefined if this shard reads no more, or has not taken over what is
   * claimed yet.
   */
  get position(): string | undefined {
    return this.isClosing || this.isEnded ? undefined : this.read;
  }

  /** Takes entries of the stream of claims. Resolves when all their messages have a permit. */
  async receive(entries: readonly ClaimEntry[]): Promise<void> {
    for (const { id, message, follows } of entries) {
      const { position } = this;
      if (position === undefined) return;
      // A read that began before this process has taken the shard again may bring what was taken over.
      if (!isAfter(id, position)) continue;
      this.read = id;
      if (message === undefined) this.ring(follows);
      // A step that was repeated after a lost reply claims again what the accept script has claimed since.
      else if (!this.claims.knows(message) && !(await this.begin(message))) return;
    }
  }

  private ring(follows: string | undefined): void {
    const claim = follows === undefined ? undefined : this.claims.get(follows);
    if (claim === undefined) this.mayBeReady = true;
    else claim.followed();
    this.isUrgent ||= claim?.needsStep === true && this.results.some(({ clientId }) => clientId === follows);
    this.changed();
  }

  /** Publishes a claim of the accept script when there is a permit. @returns false if this shard has ended before */
  private async begin(message: ClaimedMessage): Promise<boolean> {
    return this.publishWithPermit(this.claims.begin(message));
  }

  private async publishWithPermit(queue: ClaimQueue): Promise<boolean> {
    queue.permit = 'requested';
    const got = await this.dependencies.semaphore.acquireOne(this.aborted.signal);
    if (this.isEnded) {
      if (got) this.dependencies.semaphore.release(1);
      return false;
    }
    if (!got) return false;
    this.permits++;
    queue.permit = 'held';
    this.publish(queue);
    return true;
  }

  /** Finishes what is being published, and releases the lease. @returns whether work is left for another owner */
  async finish(isLost: boolean): Promise<OutboundRelease | undefined> {
    this.isClosing = true;
    this.changed();
    if (isLost || this.isEnded) {
      this.end();
      await this.running;
      return undefined;
    }
    const { grant, leaseMs } = this.lease;
    const timer = setTimeout(() => this.aborted.abort(), this.dependencies.isConnected() ? GIVE_UP_MS : 0);
    try {
      await this.dependencies.work.close(grant, leaseMs + GIVE_UP_MS);
      await this.running;
      return this.hasEnded() ? undefined : await this.dependencies.work.release(grant, this.read);
    } catch (error) {
      if (!(error instanceof StaleOwnerError)) throw error;
      this.lease.lost(grant);
      return undefined;
    } finally {
      clearTimeout(timer);
      this.end();
    }
  }

  /** Asks again after a wait: another call may have ended the shard. */
  private hasEnded(): boolean {
    return this.isEnded;
  }

  private end(): void {
    this.isEnded = true;
    clearTimeout(this.readyTimer);
    this.aborted.abort();
    this.hold(0);
    this.results = [];
    this.claims.clear();
    this.changed();
  }

  private async run(): Promise<void> {
    try {
      for (;;) {
        await this.untilWork();
        if (this.isEnded) return;
        if (this.isClosing && this.results.length === 0 && (this.claims.size === 0 || this.aborted.signal.aborted))
          return;
        if (this.isIdle() && (await this.passivate())) return;
        if (this.results.length > 0 || this.mayBeReady) await this.step();
      }
    } catch (error) {
      this.end();
      if (error instanceof StaleOwnerError) this.lease.lost(this.lease.grant);
      else this.lease.failed(error);
    }
  }

  /** Waits until a step is worth its cost, or nothing has happened for `IDLE_MS`. */
  private async untilWork(): Promise<void> {
    while (!this.isEnded) {
      if (this.results.length > 0 && (this.isUrgent || this.isClosing || this.resultsWaitMs() <= 0)) return;
      if (this.isClosing) {
        if (this.claims.size === 0 || this.aborted.signal.aborted) return;
      } else if (this.mayBeReady && this.mayTake()) return;
      if (this.isIdle()) return;
      await this.untilChanged(this.results.length > 0 ? this.resultsWaitMs() : this.idleInMs());
    }
  }

  /** All shards complete their results at the same moments, so that their steps share one write to Redis and one reply. */
  private resultsWaitMs(): number {
    if (this.results.length >= MOST_RESULTS) return 0;
    return Math.ceil(this.firstResultAt / GATHER_MS) * GATHER_MS - performance.now();
  }

  private idleInMs(): number {
    // While connections that may be ready wait for a permit or for the broker, the shard is not idle.
    if (this.claims.size > 0 || this.isClosing || this.mayBeReady) return IDLE_MS;
    return Math.max(0, this.idleSince + IDLE_MS - performance.now());
  }

  private isIdle(): boolean {
    if (this.claims.size > 0 || this.results.length > 0 || this.mayBeReady || this.isClosing) return false;
    return performance.now() >= this.idleSince + IDLE_MS;
  }

  private untilChanged(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Whether a step may claim for further connections. If it needs a permit first, this asks for one. */
  private mayTake(): boolean {
    if (this.yielding.size > 0 || !this.dependencies.isConnected()) return false;
    if (this.permits > this.claims.permitted || this.dependencies.semaphore.available > 0) return true;
    if (!this.isWaitingForPermit) void this.waitForPermit();
    return false;
  }

  private async waitForPermit(): Promise<void> {
    this.isWaitingForPermit = true;
    const got = await this.dependencies.semaphore.acquireOne(this.aborted.signal);
    this.isWaitingForPermit = false;
    if (got && this.isEnded) this.dependencies.semaphore.release(1);
    else if (got) this.permits++;
    this.changed();
  }

  /** Gives the lease back if there is no work. @returns whether it did */
  private async passivate(): Promise<boolean> {
    this.isPassivating = true;
    const reply = await this.dependencies.work.release(this.lease.grant, this.read, IDLE_MS);
    if (reply !== 'busy') {
      this.end();
      this.lease.passivated();
      return true;
    }
    this.isPassivating = false;
    this.mayBeReady = true;
    this.idleSince = performance.now();
    return false;
  }

  /** Decides whether connections are left after their publish: others wait for permits, and this shard has had its turn. */
  private updateTurn(): void {
    if (this.yielding.size > 0) return;
    const now = performance.now();
    if (this.dependencies.semaphore.contended && now > this.turnEndsAt)
      for (const id of this.claims.clientIds) this.yielding.add(id);
    else if (!this.dependencies.semaphore.contended) this.turnEndsAt = now + TURN_MS;
  }

  /** Completes the results, and publishes what it claims. */
  private async step(): Promise<void> {
    const { results, read } = this;
    this.updateTurn();
    const goesOn = !this.isClosing && this.yielding.size === 0 && this.dependencies.isConnected();
    const mayTake = goesOn && this.mayBeReady;
    if (mayTake) this.hold(this.permits + this.dependencies.semaphore.available);
    const room = goesOn ? (mayTake ? Math.max(0, this.permits - this.claims.permitted) : 0) : 'none-goes-on';
    const { queues: completed, lastClaimed } = this.claims.completedBy(results);
    this.results = [];
    this.isStepping = true;
    this.isUrgent = false;
    this.mayBeReady = false;
    clearTimeout(this.readyTimer);
    const askedAt = performance.now();
    const readTo = read === this.trimmed ? undefined : read;
    const step = await this.ask(() =>
      this.dependencies.work.step(this.lease.grant, { readTo, room, results, lastClaimed }),
    );
    if (this.isEnded) return;
    this.trimmed = read;
    this.clockOffset = step.at - askedAt;
    this.idleSince = performance.now();
    for (const queue of completed) this.forget(queue);
    for (const clientId of step.stopped) this.stop(clientId);
    const grown = this.claims.take(step.claimed);
    // Connections without a permit may go on as well: then their next messages wait for one.
    const spare = Math.max(0, this.permits - this.claims.permitted);
    const withoutPermit = [...grown].filter(({ permit }) => permit === 'none');
    for (const queue of withoutPermit.slice(0, spare)) queue.permit = 'held';
    this.hold(this.claims.permitted);
    reportStep(step, this.lease.grant.index, this.dependencies.logger);
    this.planNext(step);
    for (const queue of withoutPermit.slice(spare)) void this.publishWithPermit(queue);
    for (const queue of grown) this.publish(queue);
    this.isStepping = false;
    this.isUrgent = this.claims.needStep(this.results);
    if (step.unread === 0 && step.inFlight > this.claims.size && !this.isClosing) await this.findClaims();
  }

  /** Publishes nothing more of a connection. One that waits for a permit has no publish whose result would give back what it holds. */
  private stop(clientId: string): void {
    const queue = this.claims.get(clientId);
    queue?.stop();
    if (queue?.needsStep === true && !this.results.some((one) => one.clientId === clientId))
      this.results.push({ clientId, outcome: 'unwritten' });
  }

  private planNext({ readyInMs }: OutboundStep): void {
    // Before a later time the shard may be passivated; a dispatcher activates it again then.
    if (readyInMs === undefined || readyInMs > 2 * IDLE_MS) return;
    if (readyInMs === 0) this.mayBeReady = true;
    else {
      this.readyTimer = setTimeout(() => {
        this.mayBeReady = true;
        this.changed();
      }, readyInMs);
    }
  }

  /** Learns of claims that a former owner has left, or whose reply was lost, so that the next step claims them again. */
  private async findClaims(): Promise<void> {
    const askedAt = performance.now();
    const { at, newest, clientIds } = await this.ask(() => this.dependencies.work.takeOver(this.lease.grant));
    this.clockOffset = at - askedAt;
    if (this.read === undefined) this.read = newest;
    else if (isAfter(newest, this.read)) return;
    const pending = new Set(this.results.map(({ clientId }) => clientId));
    const unknown = clientIds.filter((id) => this.claims.get(id) === undefined && !pending.has(id));
    unknownClaims.inc(unknown.length);
    for (const clientId of unknown) this.results.push({ clientId, outcome: 'unwritten' });
    this.isUrgent = true;
  }

  /** If Redis does not answer soon, the shard gives its permits to others, whose Redis may be another one. */
  private async ask<Reply>(send: () => Promise<Reply>): Promise<Reply> {
    const timer = setTimeout(() => {
      this.isUnanswered = true;
      this.hold(Math.min(this.permits, this.publishing));
    }, ANSWER_MS);
    try {
      return await untilAnswered(send, this.lease.grant.index, this.dependencies.logger, this.aborted.signal);
    } finally {
      clearTimeout(timer);
      this.isUnanswered = false;
    }
  }

  /** Publishes what is next in the queue of a connection, if anything is. */
  private publish(queue: ClaimQueue): void {
    const message = queue.next();
    if (message === undefined) return;
    const { publishing } = this.dependencies;
    const { grant, actUntil } = this.lease;
    const times = {
      expiresAt: ({ expiresAt }: ClaimedMessage) => expiresAt - this.clockOffset,
      redisNow: () => performance.now() + this.clockOffset,
      writeBy: () => (this.isEnded ? -Infinity : actUntil()),
    };
    const publishedAt = times.redisNow();
    this.publishing++;
    void publishing.publish(message, grant.index, times, this.aborted.signal).then((result) => {
      this.publishing--;
      // An aborted publish leaves its message claimed; the release of the lease puts it back.
      if (result !== undefined && !this.isEnded) this.published(queue, { ...result, publishedAt });
      this.changed();
    });
  }

  private published(queue: ClaimQueue, result: PublishResult): void {
    if (this.results.length === 0) this.firstResultAt = performance.now();
    this.results.push(result);
    queue.completed(result.outcome === 'sent' && this.goesOn(queue));
    this.publish(queue);
    this.isUrgent ||= !this.isStepping && queue.needsStep;
    if (!queue.isPublishing && !queue.needsStep) this.releasePermit(queue);
    if (this.isUnanswered) this.hold(Math.min(this.permits, this.publishing));
  }

  /** What is published needs no permit, although its result waits for others. */
  private releasePermit(queue: ClaimQueue): void {
    queue.permit = 'none';
    if (this.permits > this.claims.permitted) this.hold(this.permits - 1);
  }

  private goesOn({ clientId }: ClaimQueue): boolean {
    return !this.isClosing && !this.yielding.has(clientId) && this.dependencies.isConnected();
  }

  private forget(queue: ClaimQueue): void {
    this.claims.forget(queue);
    if (this.yielding.delete(queue.clientId) && this.yielding.size === 0) this.turnEndsAt = performance.now() + TURN_MS;
  }

  private hold(count: number): void {
    const more = count - this.permits;
    this.permits = count;
    if (more > 0) this.dependencies.semaphore.acquire(more);
    else if (more < 0) this.dependencies.semaphore.release(-more);
  }
}
