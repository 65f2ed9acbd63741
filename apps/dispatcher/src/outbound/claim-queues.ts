/** The connections of a shard with claimed messages, each with its queue. */
import { gauge } from '@app/platform';
import type { ClaimedMessage, PublishResult } from '@app/registry';
import { ClaimQueue } from './claim-queue.js';

const inFlight = gauge('connections_in_flight', 'Connections with a message that is being published.');

/** What a step completes. */
export interface Completed {
  /** Connections of which nothing more is published. */
  queues: readonly ClaimQueue[];
  /** For the others, the last message that is claimed. */
  lastClaimed: ReadonlyMap<string, string>;
}

export class ClaimQueues {
  private readonly queues = new Map<string, ClaimQueue>();

  get size(): number {
    return this.queues.size;
  }

  /** Number of connections with a permit. */
  get permitted(): number {
    let count = 0;
    for (const { permit } of this.queues.values()) if (permit === 'held') count++;
    return count;
  }

  get clientIds(): Iterable<string> {
    return this.queues.keys();
  }

  get(clientId: string): ClaimQueue | undefined {
    return this.queues.get(clientId);
  }

  /** Whether the message is being published already, or waits for that. */
  knows(message: ClaimedMessage): boolean {
    return this.queues.get(message.clientId)?.knows(message) ?? false;
  }

  /** Begins the queue of a connection. One of which a step is completing the last message is replaced. */
  begin(first: ClaimedMessage): ClaimQueue {
    const queue = new ClaimQueue(first);
    if (!this.queues.has(first.clientId)) inFlight.inc();
    this.queues.set(first.clientId, queue);
    return queue;
  }

  /** Takes what a step has claimed. @returns the queues that have grown */
  take(claimed: readonly ClaimedMessage[]): Set<ClaimQueue> {
    const grown = new Set<ClaimQueue>();
    for (const message of claimed) {
      if (this.knows(message)) continue;
      const queue = this.queues.get(message.clientId);
      if (queue === undefined) grown.add(this.begin(message));
      else {
        queue.append(message);
        grown.add(queue);
      }
    }
    return grown;
  }

  completedBy(results: readonly PublishResult[]): Completed {
    const queues: ClaimQueue[] = [];
    const lastClaimed = new Map<string, string>();
    for (const clientId of new Set(results.map((one) => one.clientId))) {
      const queue = this.queues.get(clientId);
      const last = queue?.lastClaimed;
      if (last !== undefined) lastClaimed.set(clientId, last);
      else if (queue !== undefined) queues.push(queue);
    }
    return { queues, lastClaimed };
  }

  /** Whether results should be completed at once. */
  needStep(results: readonly PublishResult[]): boolean {
    return results.some(({ clientId }) => this.queues.get(clientId)?.needsStep);
  }

  /** Removes a queue, unless the accept script has claimed for its connection again. */
  forget(queue: ClaimQueue): void {
    if (this.queues.get(queue.clientId) === queue && this.queues.delete(queue.clientId)) inFlight.dec();
  }

  clear(): void {
    inFlight.dec(this.queues.size);
    this.queues.clear();
  }
}
