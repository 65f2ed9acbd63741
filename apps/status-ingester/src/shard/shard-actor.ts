/**
 * One shard's actor: reads the connections a batch is about, folds the batch, commits, and sets the effects going.
 * An entry that cannot be decoded is set aside with its reason; the rest of the batch goes on.
 */
import { randomUUID } from 'node:crypto';
import { counter, gauge, secondsHistogram, type Logger, type Redis } from '@app/platform';
import {
  connectionWrites,
  decodeMailboxEntry,
  sendReply,
  type Connection,
  type ConnectionDirectory,
  type MailboxMessage,
  type RegistryKeys,
  type DueToDo,
} from '@app/registry';
import { LRUCache } from 'lru-cache';
import { storedAt, type FencedCommit, type Grant, type MailboxEntry, type ShardHandler } from '@app/sharding';
import { deadLettered } from './dead-letter-count.js';
import type { Effects } from './effects.js';
import { LiveMarks } from '../agreement/live-marks.js';
import type { Verifier } from '../agreement/verifier.js';
import { fold, type Folded } from './fold.js';
import { RefusalLimits, unkept } from './refusal-limits.js';
import type { Rules } from './transition.js';

const applied = counter('mailbox_entries_applied', 'Mailbox entries whose effect has been committed.');
const told = counter('connection_events', 'Connection events, by type.', ['type']);
const doubted = counter('doubts', 'Clients doubted, by reason.', ['reason']);
const commitTime = secondsHistogram('commit_duration', 'Time to load, fold and commit one batch of a shard.');
const lag = gauge('mailbox_lag_seconds', 'Age of the oldest entry of the batch committed last.');

/** Connections the actors of this process remember, all shards together. */
const REMEMBERED = 50_000;

/** What a shard's actor remembers of its connections: it alone writes them, for as long as its grant holds. */
interface Memory {
  grant: Grant;
  connections: LRUCache<string, Connection>;
  marks: LiveMarks;
}

export class ShardActor implements ShardHandler {
  private readonly memory = new Map<number, Memory>();
  private readonly remembered: number;
  private readonly limits = new RefusalLimits();

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly commits: FencedCommit,
    private readonly directory: ConnectionDirectory,
    private readonly effects: Effects,
    private readonly verifier: Verifier,
    private readonly rules: Rules,
    shardCount: number,
    private readonly logger: Logger,
  ) {
    this.remembered = Math.max(1, Math.floor(REMEMBERED / shardCount));
  }

  async handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    const stopTimer = commitTime.startTimer();
    const poison: MailboxEntry[] = [];
    const messages = entries.flatMap((entry) => this.decode(entry, poison));
    const clientIds = [...new Set(messages.map((message) => message.clientId))];
    const known = this.memoryOf(grant, position);
    const stored = await this.load(grant, clientIds, known);
    const folded = fold(
      messages,
      stored,
      this.rules,
      randomUUID,
      this.verifier.pendingOf(grant),
      known.marks,
      this.limits,
    );
    const deadLetters = [...folded.deadLetters, ...poison.map(asDeadLetter)];
    const writes = connectionWrites(this.keys, grant.index, { ...folded, deadLetters });
    // Until the commit is known to have landed, memory and Redis may differ.
    this.memory.delete(grant.index);
    const outcome = await this.commits.commit(grant, position, last.id, writes);
    for (const [id, { after }] of folded.connections) {
      if (after === undefined) known.connections.delete(id);
      // Who was only read back is not remembered: a sweep would drive out those who speak.
      else if (folded.heard.has(id) || known.connections.has(id)) known.connections.set(id, after);
    }
    for (const [id, entry] of folded.heard) known.marks.note(id, entry);
    this.memory.set(grant.index, known);
    stopTimer();
    lag.set(Math.max(0, (Date.now() - storedAt(first.id)) / 1000));
    // After `repeated` the earlier try's to-dos stand in Redis and come up by themselves.
    if (outcome.kind === 'repeated') return;
    // In this order: a doubt that came behind a result begins anew, and does not end with it.
    await this.verifier.settled(grant, folded.settled);
    this.verifier.doubt(grant, folded.doubts);
    this.count(entries.length, folded, poison.length);
    this.log(grant, folded);
    const waking = folded.arrived.filter((_, i) => outcome.guarded[i]);
    const wakes = waking.slice(0, 1).map(({ due }): DueToDo => ({ todo: { do: 'wake' }, due }));
    this.effects.begin(grant, [...folded.immediate, ...wakes]);
    for (const { reply, outcome: answer } of folded.replies) await sendReply(this.redis, reply, answer);
  }

  forget(grant: Grant): void {
    this.verifier.forget(grant);
    if (this.memory.get(grant.index)?.grant === grant) this.memory.delete(grant.index);
  }

  private memoryOf(grant: Grant, position: string): Memory {
    const known = this.memory.get(grant.index);
    if (known?.grant === grant) return known;
    return { grant, connections: new LRUCache({ max: this.remembered }), marks: new LiveMarks(position) };
  }

  private async load(
    grant: Grant,
    clientIds: readonly string[],
    { connections }: Memory,
  ): Promise<Map<string, Connection | undefined>> {
    const stored = new Map<string, Connection | undefined>();
    for (const id of clientIds) stored.set(id, connections.get(id));
    const missing = clientIds.filter((id) => stored.get(id) === undefined);
    const loaded = await this.directory.load(grant.index, missing);
    missing.forEach((id, i) => stored.set(id, loaded[i]));
    return stored;
  }

  private decode(entry: MailboxEntry, poison: MailboxEntry[]): MailboxMessage[] {
    try {
      return [decodeMailboxEntry(entry)];
    } catch (error) {
      this.logger.error({ err: error, client_id: entry.clientId, entry: entry.id }, 'mailbox entry set aside');
      poison.push(entry);
      return [];
    }
  }

  private count(
    entries: number,
    { events, doubts, reasons, unkept: { events: untold, deadLetters } }: Folded,
    poison: number,
  ): void {
    applied.inc(entries);
    for (const { type } of events) told.inc({ type });
    for (const { reason } of doubts) if (reason !== 'again') doubted.inc({ reason });
    for (const reason of reasons) deadLettered.inc({ reason });
    if (poison > 0) deadLettered.inc({ reason: 'internal-error' }, poison);
    if (untold > 0) unkept.inc({ what: 'event' }, untold);
    if (deadLetters > 0) unkept.inc({ what: 'dead-letter' }, deadLetters);
  }

  private log(grant: Grant, { events, deadLetters }: Folded): void {
    const where = { shard: grant.index, epoch: grant.epoch };
    if (this.logger.isLevelEnabled('info')) {
      for (const { type, ...about } of events) this.logger.info({ ...where, ...about }, type);
    }
    for (const { client_id, reason, details } of deadLetters) {
      this.logger.warn({ ...where, client_id, reason, details }, 'message set aside');
    }
  }
}

function asDeadLetter(entry: MailboxEntry): {
  client_id: string;
  topic: string;
  reason: string;
  details: string;
  sample: string;
  at: number;
} {
  return {
    client_id: entry.clientId,
    topic: '',
    reason: 'internal-error',
    details: `mailbox entry ${entry.id} could not be decoded`,
    sample: entry.body.slice(0, 1024),
    at: storedAt(entry.id),
  };
}
