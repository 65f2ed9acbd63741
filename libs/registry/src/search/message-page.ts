/** A page of messages across connections: loads those that it is given, and keeps those that match, until it is full. */
import type { Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';
import type { MessageStatus } from '../message-status.js';
import { PAGE_BYTES } from '../page-bytes.js';
import type { MessageRecord } from '../messages/message-record.js';
import type { StoredMessage } from '../messages/stored-messages.js';
import { heldCounts } from '../messages/outbox.js';
import { loadMessages, sizeOf, withAnswer } from '../messages/stored-messages.js';

/** Messages, lists and connections that one page looks at, at most. */
export const MOST_LOOKED_AT = 1000;
/** Messages that are read at the same time, at most. */
const MAX_LOADED = 250;
/** By how much the clocks of gateways, which mint ids, and of Redis may differ. */
const CLOCK_SLACK_MS = 60_000;

export interface MessageFilter {
  status?: MessageStatus | undefined;
  /** Accepted at this time or later, epoch milliseconds. */
  since?: number | undefined;
  account?: string | undefined;
}

/** A message that may match, and the position of a walk after it. */
export interface Candidate<Position> {
  id: string;
  position: Position;
}

export class MessagePage<Position> {
  readonly messages: StoredMessage[] = [];
  lookedAt = 0;
  /** After the last one that was looked at. */
  position: Position | undefined;
  private bytes = 0;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly filter: MessageFilter,
    private readonly limit: number,
  ) {}

  isFull(): boolean {
    return this.messages.length >= this.limit || this.bytes >= PAGE_BYTES || this.lookedAt >= MOST_LOOKED_AT;
  }

  /** How many more it may look at. */
  get left(): number {
    return Math.max(0, MOST_LOOKED_AT - this.lookedAt);
  }

  /** Adds the messages of a shard that match, in their order, until the page is full. */
  async add(shard: number, candidates: readonly Candidate<Position>[]): Promise<void> {
    for (let from = 0; from < candidates.length && !this.isFull();) {
      const some = candidates.slice(from, from + Math.min(MAX_LOADED, this.left));
      const records = await this.load(shard, some);
      const held = await this.heldClients(shard, records);
      for (const [i, { id, position }] of some.entries()) {
        if (this.isFull()) return;
        this.lookedAt++;
        this.position = position;
        await this.addIfMatching(shard, id, records[i], held);
      }
      from += some.length;
    }
  }

  private async addIfMatching(
    shard: number,
    id: string,
    record: MessageRecord | undefined,
    held: ReadonlySet<string>,
  ): Promise<void> {
    if (record === undefined) return;
    this.bytes += sizeOf(record);
    const { status, since = 0 } = this.filter;
    const shown: MessageStatus = record.status === 'queued' && held.has(record.clientId) ? 'held' : record.status;
    if ((status ?? shown) !== shown || record.createdAt < since) return;
    const message = { ...(await withAnswer(this.redis, this.keys, shard, id, record)), status: shown };
    this.messages.push(message);
    this.bytes += message.answer?.payloadJson?.length ?? 0;
  }

  /** The records of messages that may match, in the same order. */
  private async load(
    shard: number,
    candidates: readonly Candidate<Position>[],
  ): Promise<(MessageRecord | undefined)[]> {
    const { since = 0, account, status } = this.filter;
    const wanted = candidates.filter(({ id }) => mintedAt(id) >= since - CLOCK_SLACK_MS);
    const records = await loadMessages(
      this.redis,
      this.keys,
      shard,
      wanted.map(({ id }) => id),
      { account, status: status === 'held' ? 'queued' : status },
    );
    const byId = new Map(wanted.map(({ id }, i) => [id, records[i]]));
    return candidates.map(({ id }) => byId.get(id));
  }

  /** The clients of queued messages whose messages are held. */
  private async heldClients(shard: number, records: readonly (MessageRecord | undefined)[]): Promise<Set<string>> {
    const clients = [...new Set(records.flatMap((one) => (one?.status === 'queued' ? one.clientId : [])))];
    if (clients.length === 0) return new Set();
    const counts = await heldCounts(this.redis, this.keys, shard, clients);
    return new Set(clients.filter((_, i) => (counts[i] ?? 0) > 0));
  }
}

/** When a gateway has minted a message id, a UUIDv7; epoch milliseconds. */
function mintedAt(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
