/**
 * Applies the mailbox entries of one shard: loads the connections of a batch, folds the batch, commits, and starts the
 * effects.
 *
 * - An entry that cannot be decoded or applied, and a stored connection that cannot be read, become dead letters with their
 *   reason. The rest of the shard is applied.
 * - If Redis is away, busy or full, or the lease is lost, no entry is at fault: the batch fails, and the owner loop tries again.
 */
import { randomUUID } from 'node:crypto';
import { counter, gauge, secondsHistogram, type Logger, type Redis, valuesOf } from '@app/platform';
import {
  connectionWrites,
  restoringWrite,
  unreadableWrites,
  decodeMailboxEntry,
  mailboxEntryParts,
  sendReply,
  type Connection,
  type ConnectionDirectory,
  type FencedCommit,
  type MailboxMessage,
  type RegistryKeys,
  type DueToDo,
  EVENT_TYPES,
  type ShardWrite,
  type VerificationReason,
} from '@app/registry';
import { storedAt, type Grant, type MailboxEntry, type ShardHandler } from '@app/sharding';
import type { Rules } from '../rules/effect.js';
import { noteReports } from './client-reports.js';
import { deadLettered, isFaultOfContent, messageOf, poisonOf, verifyToDos, type Poison } from './dead-letters.js';
import { fold, type Folded } from './fold.js';
import type { Verifications } from './ports.js';
import { RefusalLimits, droppedRefusals } from './refusal-limits.js';
import type { RetentionLimits } from './retention-limits.js';
import { ShardMemory } from './shard-memory.js';
import type { ToDoRunner } from './todo-runner.js';

const applied = counter('mailbox_entries_applied', 'Mailbox entries whose effect has been committed.');
const emittedEvents = counter('connection_events', 'Connection events, by type.', {
  type: EVENT_TYPES.filter((type) => type.startsWith('connection.')),
});
const clientMessages = counter('client_messages', 'Messages that clients sent by themselves, emitted as events.');
const VERIFICATION_REASONS = valuesOf<VerificationReason>({
  lanes: true,
  redelivery: true,
  dropped: true,
  'status-topic': true,
  goodbye: true,
  throttled: true,
  sweep: true,
  request: true,
  online: true,
});
const requestedVerifications = counter('verification_requests', 'Requests to verify a client, by reason.', {
  reason: VERIFICATION_REASONS,
});
const commitTime = secondsHistogram('commit_duration', 'Time to load, fold and commit one batch of a shard.');
const lag = gauge('mailbox_lag_seconds', 'Age of the oldest entry of the batch committed last.');

type StoredConnections = Map<string, Connection | undefined>;

type Decoded = MailboxMessage | { kind: 'undecodable'; clientId: string; entry: MailboxEntry; error: unknown };

function decode(entry: MailboxEntry): Decoded {
  try {
    return decodeMailboxEntry(entry);
  } catch (error) {
    return { kind: 'undecodable', clientId: mailboxEntryParts(entry.text).clientId, entry, error };
  }
}

export class ShardActor implements ShardHandler {
  private readonly memory = new Map<number, ShardMemory>();
  private readonly limits = new RefusalLimits();

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly commits: FencedCommit,
    private readonly directory: ConnectionDirectory,
    private readonly todos: ToDoRunner,
    private readonly verifier: Verifications,
    private readonly rules: Rules,
    private readonly shardCount: number,
    private readonly retention: Pick<RetentionLimits, 'keepsLargeAnswers'>,
    private readonly logger: Logger,
  ) {}

  async handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> {
    await this.applyAll(() => new Map(), grant, position, entries);
  }

  /** Commits once, or several times if the connections of all these clients are too large to be in memory together. */
  private async applyAll(
    stored: () => StoredConnections,
    grant: Grant,
    position: string,
    entries: readonly MailboxEntry[],
  ): Promise<void> {
    let after = position;
    let rest = entries;
    while (rest.length > 0) {
      const count = await this.applyFirst(stored(), grant, after, rest);
      after = rest[count - 1]?.id ?? after;
      rest = rest.slice(count);
    }
  }

  /**
   * @param stored connections as they were before a commit failed; the commit may have written a part of its writes
   * @returns how many entries were applied: all, or as many as have their connections in memory
   */
  private async applyFirst(
    stored: StoredConnections,
    grant: Grant,
    position: string,
    entries: readonly MailboxEntry[],
  ): Promise<number> {
    try {
      return await this.apply(stored, grant, position, entries);
    } catch (error) {
      if (!isFaultOfContent(error)) throw error;
      const [first] = entries;
      const half = entries.slice(0, entries.length >> 1);
      const middle = half.at(-1);
      if (middle !== undefined) {
        // Applies each half separately, until the entry is found that cannot be applied.
        await this.applyAll(() => stored, grant, position, half);
        await this.applyAll(() => stored, grant, middle.id, entries.slice(half.length));
      } else if (first !== undefined) {
        const poison = poisonOf(first, `could not be applied: ${messageOf(error)}`);
        const { client_id } = poison.letter;
        this.logger.error({ err: error, client_id, entry: first.id }, 'mailbox entry dead-lettered: not applied');
        await this.apply(stored, grant, position, entries, poison);
      }
      return entries.length;
    }
  }

  /**
   * Loads, folds and commits.
   * @param instead a dead letter that is stored while the entries are skipped
   * @returns how many entries were applied or skipped
   */
  private async apply(
    before: StoredConnections,
    grant: Grant,
    position: string,
    batch: readonly MailboxEntry[],
    instead?: Poison,
  ): Promise<number> {
    const stopTimer = commitTime.startTimer();
    const memory = this.memoryOf(grant, position);
    const decoded = instead === undefined ? batch.map(decode) : [];
    const clientIds = [...new Set(decoded.map(({ clientId }) => clientId))];
    const unreadable = new Map<string, string>();
    const stored = await this.load(before, grant, clientIds, memory, unreadable);
    const firstNotLoaded = decoded.findIndex(({ clientId }) => !stored.has(clientId));
    const count = firstNotLoaded < 0 ? batch.length : firstNotLoaded;
    const entries = batch.slice(0, count);
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) throw new Error('no connection of the batch was loaded');
    const poison: Poison[] = instead === undefined ? [] : [instead];
    const messages = this.decodable(decoded.slice(0, count), poison);
    const details = 'the stored connection cannot be read';
    for (const [clientId, text] of unreadable) {
      this.logger.error(
        { client_id: clientId, shard: grant.index },
        'stored connection dead-lettered: it cannot be read',
      );
      const about = { client_id: clientId, topic: '', details, sample: text.slice(0, 1024) };
      poison.push({ letter: { ...about, reason: 'internal-error', at: storedAt(last.id) }, isReading: false });
    }
    const omitLargeAnswers = !this.retention.keepsLargeAnswers(grant.index);
    const removals = await this.removalsOf(grant, [...unreadable.keys()]);
    const waiting = memory.waitingBytes ?? Number((await this.redis.get(this.keys.waitingBytes(grant.index))) ?? 0);
    const folded = fold(
      messages,
      stored,
      this.rules,
      randomUUID,
      this.verifier.pendingOf(grant),
      memory.lastLive,
      this.limits,
      waiting,
    );
    for (const [id, connection] of stored) before.set(id, connection);
    const failed = instead?.letter.client_id;
    if (failed !== undefined && before.has(failed)) {
      removals.push(restoringWrite(this.keys, grant.index, failed, before.get(failed)));
    }
    const deadLetters = [...folded.deadLetters, ...poison.map(({ letter }) => letter)];
    const todos = [...poison.flatMap(verifyToDos), ...folded.todos];
    const writes = [
      ...removals,
      ...connectionWrites(this.keys, grant.index, { ...folded, todos, deadLetters, omitLargeAnswers }),
    ];
    // If the commit fails, memory and Redis may differ: the next try begins with an empty memory.
    this.memory.delete(grant.index);
    const outcome = await this.commits.commit(grant, position, last.id, writes);
    for (const [id, { after }] of folded.connections) before.set(id, after);
    memory.remember(folded.connections, folded.lastLive);
    memory.waitingBytes = folded.waitingBytes ?? waiting;
    this.memory.set(grant.index, memory);
    stopTimer();
    lag.set(Math.max(0, (Date.now() - storedAt(first.id)) / 1000));
    // After `repeated`, the to-dos of the earlier try are in Redis and come up by housekeeping.
    if (outcome.kind === 'repeated') return entries.length;
    // Results first: a request that came after a result starts a new verification.
    await this.verifier.complete(grant, folded.verificationResults);
    this.verifier.request(grant, folded.verificationRequests);
    this.count(entries.length, folded, poison.length);
    this.log(grant, folded);
    // A dispatcher would find the ready connections by itself, only later.
    const isReady = folded.cameOnline.some((_, i) => outcome.guarded[i]);
    const wakes: DueToDo[] = isReady ? [{ todo: { do: 'wake' }, due: 0 }] : [];
    this.todos.withdraw(grant, folded.withdrawn);
    this.todos.begin(grant, [...folded.immediate, ...wakes]);
    noteReports(folded.reports, outcome.reports, grant.index, this.limits, this.logger);
    for (const { reply, outcome: answer } of folded.replies) await sendReply(this.redis, reply, answer);
    return entries.length;
  }

  forget(grant: Grant): void {
    this.verifier.forget(grant);
    if (this.memory.get(grant.index)?.grant === grant) this.memory.delete(grant.index);
  }

  private memoryOf(grant: Grant, position: string): ShardMemory {
    const memory = this.memory.get(grant.index);
    return memory?.grant === grant ? memory : new ShardMemory(grant, position, this.shardCount);
  }

  /** Leaves out the last connections if together they are too large. */
  private async load(
    before: StoredConnections,
    grant: Grant,
    clientIds: readonly string[],
    { connections }: ShardMemory,
    unreadable: Map<string, string>,
  ): Promise<StoredConnections> {
    const stored: StoredConnections = new Map();
    const missing: string[] = [];
    for (const id of clientIds) {
      const known = before.get(id) ?? connections.get(id);
      if (known === undefined && !before.has(id)) missing.push(id);
      else stored.set(id, known);
    }
    const loaded = await this.directory.load(grant.index, missing, (id, text) => unreadable.set(id, text));
    for (const [i, connection] of loaded.entries()) stored.set(missing[i] ?? '', connection);
    return stored;
  }

  private async removalsOf({ index }: Grant, unreadable: readonly string[]): Promise<ShardWrite[]> {
    if (unreadable.length === 0) return [];
    const accounts = await this.redis.hmget(this.keys.accounts(index), ...unreadable);
    return unreadable.flatMap((id, i) => unreadableWrites(this.keys, index, id, accounts[i] ?? null));
  }

  private decodable(decoded: readonly Decoded[], poison: Poison[]): MailboxMessage[] {
    const messages: MailboxMessage[] = [];
    for (const one of decoded) {
      if (one.kind !== 'undecodable') {
        messages.push(one);
        continue;
      }
      const { entry, error, clientId } = one;
      this.logger.error(
        { err: error, client_id: clientId, entry: entry.id },
        'mailbox entry dead-lettered: not decoded',
      );
      poison.push(poisonOf(entry, `could not be decoded: ${messageOf(error)}`));
    }
    return messages;
  }

  private count(
    entries: number,
    { events, verificationRequests, reasons, dropped: { events: droppedEvents, deadLetters } }: Folded,
    poison: number,
  ): void {
    applied.inc(entries);
    for (const { type } of events) {
      if (type === 'client.message') clientMessages.inc();
      else emittedEvents.inc({ type });
    }
    for (const { reason } of verificationRequests) if (reason !== 'again') requestedVerifications.inc({ reason });
    for (const reason of reasons) deadLettered.inc({ reason });
    if (poison > 0) deadLettered.inc({ reason: 'internal-error' }, poison);
    if (droppedEvents > 0) droppedRefusals.inc({ what: 'event' }, droppedEvents);
    if (deadLetters > 0) droppedRefusals.inc({ what: 'dead-letter' }, deadLetters);
  }

  private log(grant: Grant, { events, deadLetters }: Folded): void {
    const owner = { shard: grant.index, epoch: grant.epoch };
    if (this.logger.isLevelEnabled('info')) {
      for (const event of events) {
        const { type, at, ...about } = event.type === 'client.message' ? { ...event, payload_json: undefined } : event;
        this.logger.info({ ...owner, ...about, at: new Date(at).toISOString() }, type);
      }
    }
    for (const { client_id, reason, details } of deadLetters) {
      this.logger.warn({ ...owner, client_id, reason, details }, 'message dead-lettered');
    }
  }
}
