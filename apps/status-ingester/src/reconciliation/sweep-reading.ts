/**
 * Reads everything the broker retains on status topics, once or again, and hands it on in batches, each message once.
 * What is in hand is bounded: past it the socket is not read.
 */
import { sweepRetained, type BrokerAccess } from '@app/broker';
import { counter } from '@app/platform';
import { payloadText, shardOf, type TopicTemplate } from '@app/protocol';
import type { Retained } from '@app/registry';
import type { Pass } from './sweep-completion.js';

const readMessages = counter('sweep_messages_read', 'Retained status messages read by sweeps.');

/** Messages handed on at a time: each batch costs some commands a shard, however many it has for it. */
const BATCH = { messages: 2000, characters: 4 * 1024 * 1024 } as const;
/** What is in hand past which the socket is held back. */
const MOST_IN_HAND = { messages: 6000, characters: 16 * 1024 * 1024 } as const;
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

interface Amount {
  messages: number;
  characters: number;
}

export class SweepReading {
  /** Topics. */
  private readonly seen = new Set<string>();
  private batch: Found[] = [];
  private readonly filling: Amount = { messages: 0, characters: 0 };
  private readonly inHand: Amount = { messages: 0, characters: 0 };
  private readonly handed = new Set<Promise<void>>();
  private failure: Error | undefined;
  private heldBack = false;

  constructor(
    private readonly parts: ReadingParts,
    private readonly hand: (batch: readonly Found[]) => Promise<void>,
  ) {}

  /** Messages read. */
  get count(): number {
    return this.seen.size;
  }

  saw(clientId: string): boolean {
    return this.parts.statusTopics.some((template) => this.seen.has(template.topicOf(clientId)));
  }

  /**
   * Reads it all, and waits until what was handed on is done with. What an earlier pass brought is left out.
   * @throws IncompleteReadError, or what `hand` rejects with
   */
  async pass(clientId: string, signal: AbortSignal): Promise<Pass> {
    const { broker, sentinel, statusTopics } = this.parts;
    const filters = statusTopics.map(({ filter }) => filter);
    const options = { ...broker, clientId, filters, sentinel, silenceMs: SILENCE_MS, signal };
    const before = this.count;
    this.heldBack = false;
    try {
      const how = await sweepRetained(options, (topic, payload) => this.take(topic, payload));
      this.flush();
      return { complete: how === 'complete', heldBack: this.heldBack, fresh: this.count - before };
    } finally {
      await this.doneWith();
    }
  }

  private take(topic: string, payload: Buffer): Promise<void> | undefined {
    if (this.seen.has(topic)) return undefined;
    const { statusTopics, maxInboundBytes, shardCount } = this.parts;
    for (const template of statusTopics) {
      const clientId = template.clientIdOf(topic);
      if (clientId === undefined) continue;
      this.seen.add(topic);
      readMessages.inc();
      const found = { topic: template.template, ...payloadText(payload, maxInboundBytes) };
      this.batch.push({ ...found, clientId, shard: shardOf(clientId, shardCount) });
      add(this.filling, { messages: 1, characters: found.body.length });
      if (exceeds(this.filling, BATCH)) this.flush();
      return exceeds(this.inHand, MOST_IN_HAND) ? this.room() : undefined;
    }
    return undefined;
  }

  private flush(): void {
    const { batch } = this;
    if (batch.length === 0) return;
    const size = { ...this.filling };
    this.batch = [];
    add(this.filling, size, -1);
    add(this.inHand, size);
    const done = this.hand(batch)
      .catch((error: unknown) => {
        this.failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        add(this.inHand, size, -1);
        this.handed.delete(done);
      });
    this.handed.add(done);
  }

  private async room(): Promise<void> {
    this.heldBack = true;
    while (exceeds(this.inHand, MOST_IN_HAND)) await Promise.race(this.handed);
    if (this.failure !== undefined) throw this.failure;
  }

  private async doneWith(): Promise<void> {
    await Promise.all(this.handed);
    if (this.failure !== undefined) throw this.failure;
  }
}

function add(to: Amount, { messages, characters }: Amount, sign: 1 | -1 = 1): void {
  to.messages += sign * messages;
  to.characters += sign * characters;
}

function exceeds({ messages, characters }: Amount, limit: Readonly<Amount>): boolean {
  return messages >= limit.messages || characters >= limit.characters;
}
