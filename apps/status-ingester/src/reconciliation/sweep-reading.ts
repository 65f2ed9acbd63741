/**
 * Reads everything that the broker retains on status topics, in one or more passes, and passes each message on once, in batches,
 * and again if a later pass finds another text: the broker may have retained the newer one late. If too much of it is still
 * being processed, the socket is not read (back-pressure).
 */
import { crc32 } from 'node:zlib';
import { RetainedSweep, type BrokerAccess, type ControlMessages } from '@app/broker';
import { counter } from '@app/platform';
import { payloadText, shardOf, type TopicTemplate } from '@app/protocol';
import type { Retained } from '@app/registry';
import type { Pass } from './sweep-completion.js';
import { SweepTopics } from './sweep-topics.js';

const readMessages = counter('sweep_messages_read', 'Retained status messages read by sweeps.');

/** Size of a batch. A batch costs some commands for each shard, however many messages it has for it. */
const BATCH = { messages: 2000, characters: 4 * 1024 * 1024 } as const;
/** Amount in progress above which the socket is not read. */
const MOST_IN_PROGRESS = { messages: 6000, characters: 16 * 1024 * 1024 } as const;
/** A read ends if the broker sends nothing for this long. */
export const SWEEP_SILENCE_MS = 3000;
/**
 * How long the first pass waits for more messages after the sentinel. The second pass reads again what the broker may have
 * retained late, so it must not come sooner.
 */
export const FIRST_QUIET_MS = 500;
/** A further pass is to find what the first one ended before, so it waits longer: brokers pause for half a second. */
export const LATER_QUIET_MS = 1000;

export interface Found extends Retained {
  clientId: string;
  shard: number;
}

export interface ReadingDependencies {
  broker: BrokerAccess;
  sentinel: string;
  controls?: ControlMessages;
  statusTopics: readonly TopicTemplate[];
  maxInboundBytes: number;
  shardCount: number;
}

interface Amount {
  messages: number;
  characters: number;
}

export class SweepReading {
  private readonly topics = new SweepTopics();
  private batch: Found[] = [];
  private readonly batchAmount: Amount = { messages: 0, characters: 0 };
  private readonly inProgress: Amount = { messages: 0, characters: 0 };
  private readonly processing = new Set<Promise<void>>();
  private failure: Error | undefined;
  private readonly sweep: RetainedSweep;
  private passes = 0;

  constructor(
    private readonly dependencies: ReadingDependencies,
    clientId: string,
    signal: AbortSignal,
    private readonly onBatch: (batch: readonly Found[]) => Promise<void>,
    /** Whether a message of the client is to be passed on again if a later pass brings it unchanged. */
    private readonly isAwaited: (clientId: string) => boolean = () => false,
    silenceMs = SWEEP_SILENCE_MS,
  ) {
    const { broker, sentinel, controls, statusTopics } = dependencies;
    const filters = statusTopics.map(({ filter }) => filter);
    this.sweep = new RetainedSweep(
      { ...broker, clientId, filters, sentinel, ...(controls && { controls }), silenceMs, signal },
      {
        retained: (topic, payload) => this.take(topic, payload),
        live: (topic) => this.topics.change(topic),
        late: (topic) => this.topics.late(topic),
      },
    );
  }

  /** Number of messages that were read. */
  get count(): number {
    return this.topics.count;
  }

  /** Whether the last pass brought a message of the client. An earlier one may have found what was removed before. */
  hasSeen(clientId: string): boolean {
    return this.dependencies.statusTopics.some((template) => this.topics.isPresent(template.topicOf(clientId)));
  }

  /** Whether a pass brought a message of the client, or something was published for it since the sweep began. */
  hasTrace(clientId: string): boolean {
    return this.dependencies.statusTopics.some((template) => this.topics.hasTrace(template.topicOf(clientId)));
  }

  /**
   * Reads everything, and waits until all batches are processed. Messages that earlier passes brought are skipped.
   * @throws IncompleteReadError, or what `onBatch` rejects with
   */
  async pass(): Promise<Pass> {
    this.topics.begin();
    try {
      const end = await this.sweep.pass(this.passes++ === 0 ? FIRST_QUIET_MS : LATER_QUIET_MS);
      this.flush();
      const { fresh, missed } = this.topics;
      const complete = end === 'complete';
      // Counting those takes a look at each topic.
      return { complete, fresh, missed, readByFew: complete && fresh === 0 && missed > 0 ? this.topics.readByFew : 0 };
    } finally {
      await this.allProcessed();
    }
  }

  close(): void {
    this.sweep.close();
  }

  private take(topic: string, payload: Buffer): Promise<void> | undefined {
    const digest = crc32(payload);
    const isRepeated = this.topics.isPresent(topic);
    const isKnown = this.topics.again(topic, digest);
    if (isKnown && isRepeated) return undefined;
    const { statusTopics, maxInboundBytes, shardCount } = this.dependencies;
    for (const template of statusTopics) {
      const clientId = template.clientIdOf(topic);
      if (clientId === undefined) continue;
      if (isKnown && !this.isAwaited(clientId)) return undefined;
      if (!this.topics.isPresent(topic)) this.topics.add(topic, digest);
      readMessages.inc();
      const found = { topic: template.template, ...payloadText(payload, maxInboundBytes) };
      this.batch.push({ ...found, clientId, shard: shardOf(clientId, shardCount) });
      add(this.batchAmount, { messages: 1, characters: found.body.length });
      if (exceeds(this.batchAmount, BATCH)) this.flush();
      return exceeds(this.inProgress, MOST_IN_PROGRESS) ? this.untilRoom() : undefined;
    }
    return undefined;
  }

  private flush(): void {
    const { batch } = this;
    if (batch.length === 0) return;
    const amount = { ...this.batchAmount };
    this.batch = [];
    add(this.batchAmount, amount, -1);
    add(this.inProgress, amount);
    const done = this.onBatch(batch)
      .catch((error: unknown) => {
        this.failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        add(this.inProgress, amount, -1);
        this.processing.delete(done);
      });
    this.processing.add(done);
  }

  private async untilRoom(): Promise<void> {
    while (exceeds(this.inProgress, MOST_IN_PROGRESS)) await Promise.race(this.processing);
    if (this.failure !== undefined) throw this.failure;
  }

  private async allProcessed(): Promise<void> {
    await Promise.all(this.processing);
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
