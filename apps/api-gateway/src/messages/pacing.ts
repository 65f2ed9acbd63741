/**
 * Pacing: a response to accepted messages waits a little while many messages of the same payer are in flight in their shard, so
 * that a caller who waits for responses does not send faster than its messages are published. Held messages and those of other
 * payers do not count.
 */
import type { ServerResponse } from 'node:http';
import { counter, secondsHistogram } from '@app/platform';
import type { FastifyInstance } from 'fastify';

const waited = secondsHistogram(
  'pacing_duration',
  'Time for which responses waited since messages of the same account or key were in flight.',
);
const notPaced = counter(
  'responses_not_paced',
  'Responses that did not wait for messages in flight, since too many others waited.',
);

/** The longest time that a response waits, in milliseconds. */
export const LONGEST_PACE_MS = 100;
/**
 * Messages of a payer that may be in flight in all shards before its responses wait; if they are spread evenly over the shards. Most
 * of them are published already: their dispatcher completes for up to 30 ms together, which is 150 messages at 5,000 a second.
 */
const WITHOUT_PACING = 256;
/** No response waits for fewer messages in one shard, however many shards there are. */
const WITHOUT_PACING_IN_SHARD = 2;
/** With so many times more messages in flight, a response waits for the longest time. */
const FULL_RANGE = 4;
/** One in so many connections may wait for its response. */
const WAITING_PART = 4;

declare module 'fastify' {
  interface FastifyRequest {
    /** How many messages of the caller are in flight in a shard of the messages that the request has sent. */
    inFlight: number;
  }
}

/** How long a response waits, in milliseconds. `inFlight`: messages of the payer in flight in one shard. */
export function paceMs(inFlight: number, shardCount: number): number {
  const free = Math.max(WITHOUT_PACING_IN_SHARD, WITHOUT_PACING / shardCount);
  const share = (inFlight - free) / (FULL_RANGE * free);
  return Math.round(Math.min(1, Math.max(0, share)) * LONGEST_PACE_MS);
}

export class Pacing {
  private readonly mostWaiting: number;
  private readonly waiting = new Set<() => void>();
  private isStopped = false;

  constructor(
    private readonly shardCount: number,
    maxConnections: number,
  ) {
    this.mostWaiting = Math.floor(maxConnections / WAITING_PART);
  }

  /** Number of responses that wait. */
  get size(): number {
    return this.waiting.size;
  }

  /** Calls `done` when the response may be sent: at once, later, or when its caller has left. */
  pace(inFlight: number, response: ServerResponse, done: () => void): void {
    const ms = paceMs(inFlight, this.shardCount);
    if (ms === 0 || this.isStopped || response.destroyed) {
      done();
      return;
    }
    if (this.waiting.size >= this.mostWaiting) {
      notPaced.inc();
      done();
      return;
    }
    const from = performance.now();
    const end = (): void => {
      if (!this.waiting.delete(end)) return;
      clearTimeout(timer);
      response.off('close', end);
      waited.observe((performance.now() - from) / 1000);
      done();
    };
    const timer = setTimeout(end, ms);
    response.once('close', end);
    this.waiting.add(end);
  }

  /** Sends the responses that wait; from now on none waits. */
  stop(): void {
    this.isStopped = true;
    for (const end of [...this.waiting]) end();
  }
}

/** Call it after the hooks that let go what a request holds, and before any route is added. */
export function paceResponses(fastify: FastifyInstance, pacing: Pacing): void {
  fastify.decorateRequest('inFlight', 0);
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    if (request.inFlight === 0) {
      done();
      return;
    }
    // While the response waits, the body must not take memory.
    request.body = undefined;
    pacing.pace(request.inFlight, reply.raw, done);
  });
}
