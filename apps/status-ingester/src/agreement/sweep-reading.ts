/**
 * Reads everything the broker retains on status topics, once or again, and hands it on in batches, each message once.
 * What is in hand is bounded: past it the socket is not read.
 */
import { sweepRetained, type BrokerAccess } from '@app/broker';
import { counter } from '@app/platform';
import { shardOf, type TopicTemplate } from '@app/protocol';
import type { Retained } from '@app/registry';
import { readable } from '../intake/seal.js';

const readMessages = counter('sweep_messages_read', 'Retained status messages read by sweeps.');

/** Messages handed on at a time. */
const BATCH = 500;
/** Retained text in hand past which the socket is held back, in characters. */
const MOST_IN_HAND = 16 * 1024 * 1024;
/** Longest silence of a read. */
const SILENCE_MS = 3000;

export interface Found extends Retained {
  clientId: string;
  shard: number;
}

export interface ReadingParts {
  broker: BrokerAccess;
  sentinel: string;
  statusTopics: readonly TopicTemplate[];
  maxInboundBytes: number;
  shardCount: number;
}

export class SweepReading {
  /** Client ids; topics where there are several a client. */
  private readonly seen = new Set<string>();
  private batch: Found[] = [];
  private inHand = 0;
  private readonly handed = new Set<Promise<void>>();
  private failure: Error | undefined;

  constructor(
    private readonly parts: ReadingParts,
    private readonly hand: (batch: readonly Found[]) => Promise<void>,
  ) {}

  /** Messages read. */
  get count(): number {
    return this.seen.size;
  }

  saw(clientId: string): boolean {
    const { statusTopics } = this.parts;
    if (statusTopics.length === 1) return this.seen.has(clientId);
    return statusTopics.some((template) => this.seen.has(template.topicOf(clientId)));
  }

  /**
   * Reads it all, and waits until what was handed on is done with. What an earlier pass brought is left out.
   * @throws IncompleteReadError, or what `hand` rejects with
   */
  async pass(clientId: string, signal: AbortSignal): Promise<'complete' | 'truncated'> {
    const { broker, sentinel, statusTopics } = this.parts;
    const filters = statusTopics.map(({ filter }) => filter);
    const options = { ...broker, clientId, filters, sentinel, silenceMs: SILENCE_MS, signal };
    try {
      const how = await sweepRetained(options, (topic, payload) => this.take(topic, payload));
      this.flush();
      return how;
    } finally {
      await this.doneWith();
    }
  }

  private take(topic: string, payload: Buffer): Promise<void> | undefined {
    const { statusTopics, maxInboundBytes, shardCount } = this.parts;
    for (const template of statusTopics) {
      const clientId = template.clientIdOf(topic);
      if (clientId === undefined) continue;
      const one = statusTopics.length === 1 ? clientId : topic;
      if (this.seen.has(one)) return undefined;
      this.seen.add(one);
      readMessages.inc();
      const found = { topic: template.template, ...readable(payload, maxInboundBytes) };
      this.batch.push({ ...found, clientId, shard: shardOf(clientId, shardCount) });
      this.inHand += found.body.length;
      if (this.batch.length >= BATCH || this.inHand > MOST_IN_HAND) this.flush();
      return this.inHand > MOST_IN_HAND ? this.doneWith() : undefined;
    }
    return undefined;
  }

  private flush(): void {
    const { batch } = this;
    if (batch.length === 0) return;
    this.batch = [];
    const size = batch.reduce((sum, { body }) => sum + body.length, 0);
    const done = this.hand(batch)
      .catch((error: unknown) => {
        this.failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        this.inHand -= size;
        this.handed.delete(done);
      });
    this.handed.add(done);
  }

  private async doneWith(): Promise<void> {
    await Promise.all(this.handed);
    if (this.failure !== undefined) throw this.failure;
  }
}
