/** Gathers the figures of the whole key space, or those of one account. */
import type { Redis } from '@app/platform';
import {
  dueShards,
  payerOf,
  readConnectionCounts,
  readMessageCounts,
  readMessageTotals,
  readSendingTimes,
  type ConnectionDirectory,
  type MessageCounts,
  type MessageTotals,
  type RegistryKeys,
  type Summary,
} from '@app/registry';
import { AnswerCache } from './answer-cache.js';

const KEPT_MS = 1000;

export interface Figures {
  /** Epoch milliseconds, by Redis' clock. */
  at: number;
  connections: Summary;
  messages: MessageTotals;
  /** Undefined for an account. */
  whole: WholeFigures | undefined;
}

/** What exists of the whole key space only. The lists have 60 minutes, oldest first. */
export interface WholeFigures {
  /** Connections with a message that could be published now, and that no dispatcher has claimed. */
  readyConnections: number;
  /** For how long the first of them has been waiting, in milliseconds. */
  oldestReadyMs: number;
  connectionCounts: (Summary | undefined)[];
  messageCounts: MessageCounts[];
  /** By `SENDING_TIMES_MS`. */
  sendingTimes: number[][];
}

export class Stats {
  private readonly cache = new AnswerCache<Figures>(KEPT_MS);

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly directory: ConnectionDirectory,
    private readonly shardCount: number,
  ) {}

  /** At most a second old. */
  read(account?: string): Promise<Figures> {
    return this.cache.get(account ?? '', () => this.gather(account));
  }

  private async gather(account?: string): Promise<Figures> {
    const { redis, keys, shardCount } = this;
    const [seconds] = await redis.time();
    const at = Number(seconds) * 1000;
    const payer = account === undefined ? undefined : payerOf({ id: '', account });
    const [connections, messages, whole] = await Promise.all([
      this.directory.summary(account),
      readMessageTotals(redis, keys, shardCount, payer),
      account === undefined ? this.gatherWhole(at) : undefined,
    ]);
    return { at, connections, messages, whole };
  }

  private async gatherWhole(at: number): Promise<WholeFigures> {
    const { redis, keys, shardCount } = this;
    const [due, connectionCounts, messageCounts, sendingTimes] = await Promise.all([
      dueShards(redis, keys, shardCount),
      readConnectionCounts(redis, keys, at),
      readMessageCounts(redis, keys, shardCount, at),
      readSendingTimes(redis, keys, at),
    ]);
    return {
      readyConnections: due.reduce((sum, { waiting }) => sum + waiting, 0),
      oldestReadyMs: Math.max(0, ...due.map(({ oldestMs }) => oldestMs)),
      ...{ connectionCounts, messageCounts, sendingTimes },
    };
  }
}
