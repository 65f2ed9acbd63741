/**
 * One limit for many callers or addresses. A request is admitted from what this gateway has leased in advance; only the first
 * request of a caller, and one near the limit, waits for Redis. Leases of those who sent last are kept. A lease that has to make
 * room lapses: its requests count as admitted until their window ends, and the next request asks Redis again.
 */
import { counter, isRedisError, type Logger, type Redis } from '@app/platform';
import { leaseRequests, type RateLimit, type WantedRequests } from '@app/registry';
import { LRUCache } from 'lru-cache';
import { Problem } from '../http/problem.js';
import { RequestLease } from './request-lease.js';

const limited = counter('requests_limited', 'Requests refused for their number, by what was counted.', {
  by: ['key', 'address'],
});
const leases = counter(
  'request_leases',
  'Leases of requests that were asked of Redis, by what was counted and outcome.',
  {
    by: ['key', 'address'],
    outcome: ['leased', 'exhausted', 'failed'],
  },
);

/** Callers, and addresses, whose leases are kept. */
const MAX_LEASES = 10_000;

/** Undefined if the request is admitted; otherwise why it is refused. */
export type Refusal = Problem | undefined;

interface Waiting {
  cost: number;
  resolve: (refusal: Refusal) => void;
}

/** A lease, and the requests that wait for Redis. */
interface Subject {
  counter: string;
  lease: RequestLease;
  waiting: Waiting[];
  isAsking: boolean;
}

export class LeasedLimit {
  private readonly subjects = new LRUCache<string, Subject>({ max: MAX_LEASES });

  constructor(
    private readonly redis: Redis,
    private readonly by: 'key' | 'address',
    private readonly keyPrefix: string,
    private readonly limit: RateLimit,
    private readonly logger: Logger,
  ) {}

  /** Counts a request as `cost` requests. Returns at once if they are leased, which is the common case. */
  count(id: string, cost: number): Refusal | Promise<Refusal> {
    let subject = this.subjects.get(id);
    if (subject === undefined) {
      const lease = new RequestLease(this.limit);
      subject = { counter: `${this.keyPrefix}:${id}`, lease, waiting: [], isAsking: false };
      this.subjects.set(id, subject);
    }
    const now = performance.now();
    const taken = subject.lease.take(cost, now);
    const outcome = taken === 'ask' ? this.wait(subject, cost) : this.refusalOf(taken, subject, now);
    this.ask(subject, now);
    return outcome;
  }

  private wait(subject: Subject, cost: number): Promise<Refusal> {
    return new Promise((resolve) => subject.waiting.push({ cost, resolve }));
  }

  private refusalOf(taken: 'admitted' | 'refused', { lease }: Subject, now: number): Refusal {
    if (taken === 'admitted') return undefined;
    limited.inc({ by: this.by });
    const seconds = Math.max(1, Math.ceil(lease.leftMs(now) / 1000));
    return new Problem('rate-limited', `too many requests a second of this ${this.by}`, {
      retryAfterSeconds: seconds,
      rateLimit: `"${this.by}";r=0;t=${seconds}`,
    });
  }

  /** Asks Redis if requests wait, or before they have to. One question of a subject is on its way at a time. */
  private ask(subject: Subject, now: number): void {
    if (subject.isAsking) return;
    const waiting = subject.waiting.reduce((sum, { cost }) => sum + cost, 0);
    const wanted = subject.lease.wants(waiting, now);
    if (wanted === undefined) return;
    subject.isAsking = true;
    void this.renew(subject, wanted, now);
  }

  /** Never rejects, since nobody may wait for it. */
  private async renew(subject: Subject, wanted: WantedRequests, askedAt: number): Promise<void> {
    const { lease, counter } = subject;
    let now: number;
    try {
      const reply = await leaseRequests(this.redis, counter, this.limit, wanted);
      leases.inc({ by: this.by, outcome: reply.left === 0 ? 'exhausted' : 'leased' });
      now = performance.now();
      lease.renew(reply, wanted, askedAt, now);
    } catch (error) {
      leases.inc({ by: this.by, outcome: 'failed' });
      const level = isRedisError(error) ? 'debug' : 'error';
      this.logger[level](
        { err: error },
        'requests could not be leased; this gateway counts them by itself for a second',
      );
      now = performance.now();
      lease.countAlone(now);
    }
    subject.isAsking = false;
    this.serve(subject, now);
    this.ask(subject, now);
  }

  private serve(subject: Subject, now: number): void {
    for (const waiting of subject.waiting.splice(0)) {
      const taken = subject.lease.take(waiting.cost, now);
      if (taken === 'ask') subject.waiting.push(waiting);
      else waiting.resolve(this.refusalOf(taken, subject, now));
    }
  }
}
