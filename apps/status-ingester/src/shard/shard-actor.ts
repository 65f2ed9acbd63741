/**
 * One shard's actor: reads the connections a batch is about, folds the batch, commits, and sets the effects going.
 *
 * - What cannot be read or applied becomes a dead letter with its reason, and the rest of the shard goes on: an entry that
 *   cannot be decoded, a stored connection that cannot be read, an entry for which our own code or a script fails.
 * - A Redis that is away, busy or full, and a lost lease, are no fault of an entry: the batch is tried again.
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
  type MailboxMessage,
  type RegistryKeys,
  type DueToDo,
  EVENT_TYPES,
  type VerificationReason,
} from '@app/registry';
import {
  storedAt,
  type FencedCommit,
  type Grant,
  type MailboxEntry,
  type ShardHandler,
  type ShardWrite,
} from '@app/sharding';
import { deadLettered } from './dead-letter-count.js';
import type { ToDoRunner } from './todo-runner.js';
import { LastLiveEntries } from './last-live-entries.js';
import type { Verifications } from './ports.js';
import { fold, type Folded } from './fold.js';
import { isFaultOfContent, letterOf, reasonOf, verifyToDos, type Poison } from './poison.js';
import { RefusalLimits, unkept } from './refusal-limits.js';
import { connectionCache, type ConnectionCache } from './connection-cache.js';
import type { Rules } from '../rules/transition.js';

const applied = counter('mailbox_entries_applied', 'Mailbox entries whose effect has been committed.');
const emittedEvents = counter('connection_events', 'Connection events, by type.', {
  type: EVENT_TYPES.filter((type) => type.startsWith('connection.')),
});
const VERIFICATION_REASONS = valuesOf<VerificationReason>({
  lanes: true,
  redelivery: true,
  dropped: true,
  'status-topic': true,
  goodbye: true,
  throttled: true,
  sweep: true,
  request: true,
});
const requestedVerifications = counter('verification_requests', 'Requests to verify a client, by reason.', {
  reason: VERIFICATION_REASONS,
});
const commitTime = secondsHistogram('commit_duration', 'Time to load, fold and commit one batch of a shard.');
const lag = gauge('mailbox_lag_seconds', 'Age of the oldest entry of the batch committed last.');

type StoredConnections = Map<string, Connection | undefined>;

/** What a shard's actor remembers of its connections: it alone writes them, for as long as its grant holds. */
interface Memory {
  grant: Grant;
  connections: ConnectionCache;
  marks: LastLiveEntries;
  /** Bytes of events that wait for the accounts of their clients; undefined until they are read. */
  waitingBytes: number | undefined;
}

type Decoded = MailboxMessage | { kind: 'undecodable'; clientId: string; entry: MailboxEntry; error: unknown };

function decode(entry: MailboxEntry): Decoded {
  try {
    return decodeMailboxEntry(entry);
  } catch (error) {
    return { kind: 'undecodable', clientId: mailboxEntryParts(entry.text).clientId, entry, error };
  }
}

export class ShardActor implements ShardHandler {
  private readonly memory = new Map<number, Memory>();
  private readonly limits = new RefusalLimits();

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly commits: FencedCommit,
    private readonly directory: ConnectionDirectory,
    private readonly effects: ToDoRunner,
    private readonly verifier: Verifications,
    private readonly rules: Rules,
    private readonly shardCount: number,
    private readonly logger: Logger,
  ) {}

  async handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void> {
    await this.applyAll(() => new Map(), grant, position, entries);
  }

  /** One commit, or more if the connections of all these clients are too large to be in memory together. */
  private async applyAll(
    stored: () => StoredConnections,
    grant: Grant,
    position: string,
    entries: readonly MailboxEntry[],
  ): Promise<void> {
    let after = position;
    let rest = entries;
    while (rest.length > 0) {
      const applied = await this.applyFirst(stored(), grant, after, rest);
      after = rest[applied - 1]?.id ?? after;
      rest = rest.slice(applied);
    }
  }

  /**
   * @param stored connections as they were before a commit failed, which may have written a part of what it was to write
   * @returns how many of the entries have been applied: all, or those whose connections were loaded
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
        // Each half on its own, until the entry is found that cannot be applied.
        await this.applyAll(() => stored, grant, position, half);
        await this.applyAll(() => stored, grant, middle.id, entries.slice(half.length));
      } else if (first !== undefined) {
        const poison = letterOf(first, `could not be applied: ${reasonOf(error)}`);
        const { client_id } = poison.letter;
        this.logger.error({ err: error, client_id, entry: first.id }, 'mailbox entry not applied');
        await this.apply(stored, grant, position, entries, poison);
      }
      return entries.length;
    }
  }

  /**
   * @param instead is kept as a dead letter, and the entries are not applied
   * @returns how many entries were applied
   */
  private async apply(
    before: StoredConnections,
    grant: Grant,
    position: string,
    given: readonly MailboxEntry[],
    instead?: Poison,
  ): Promise<number> {
    const stopTimer = commitTime.startTimer();
    const known = this.memoryOf(grant, position);
    const decoded = instead === undefined ? given.map(decode) : [];
    const clientIds = [...new Set(decoded.map(({ clientId }) => clientId))];
    const unreadable = new Map<string, string>();
    const stored = await this.load(before, grant, clientIds, known, unreadable);
    const cut = decoded.findIndex(({ clientId }) => !stored.has(clientId));
    const entries = cut < 0 ? given : given.slice(0, cut);
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) throw new Error('of no client the connection was read');
    const poison: Poison[] = instead === undefined ? [] : [instead];
    const messages = this.decodable(cut < 0 ? decoded : decoded.slice(0, cut), poison);
    const details = 'the stored connection cannot be read';
    for (const [clientId, text] of unreadable) {
      this.logger.error({ client_id: clientId, shard: grant.index }, 'stored connection cannot be read: removed');
      const letter = { client_id: clientId, topic: '', reason: 'internal-error', details, sample: text.slice(0, 1024) };
      poison.push({ letter: { ...letter, at: storedAt(last.id) }, isResult: false });
    }
    const removals = await this.removalsOf(grant, [...unreadable.keys()]);
    const waiting = known.waitingBytes ?? Number((await this.redis.get(this.keys.waitingBytes(grant.index))) ?? 0);
    const folded = fold(
      messages,
      stored,
      this.rules,
      randomUUID,
      this.verifier.pendingOf(grant),
      known.marks,
      this.limits,
      waiting,
    );
    for (const [id, connection] of stored) before.set(id, connection);
    const failed = instead?.letter.client_id;
    if (failed !== undefined && before.has(failed)) {
      removals.push(restoringWrite(this.keys, grant.index, failed, before.get(failed)));
    }
    const deadLetters = [...folded.deadLetters, ...poison.map(({ letter }) => letter)];
    // What the broker retains for them says what they are; but what it retains may be what cannot be applied.
    const verifications = poison.flatMap(verifyToDos);
    const todos = [...verifications, ...folded.todos];
    const writes = [...removals, ...connectionWrites(this.keys, grant.index, { ...folded, todos, deadLetters })];
    // Until the commit is known to have landed, memory and Redis may differ.
    this.memory.delete(grant.index);
    const outcome = await this.commits.commit(grant, position, last.id, writes);
    for (const [id, { after }] of folded.connections) {
      before.set(id, after);
      if (after === undefined) known.connections.delete(id);
      // Who was only read back is not remembered: a sweep would drive out those who speak.
      else if (folded.lastLive.has(id) || known.connections.has(id)) known.connections.set(id, after);
    }
    for (const [id, entry] of folded.lastLive) known.marks.note(id, entry);
    known.waitingBytes = folded.waitingBytes ?? waiting;
    this.memory.set(grant.index, known);
    stopTimer();
    lag.set(Math.max(0, (Date.now() - storedAt(first.id)) / 1000));
    // After `repeated` the earlier try's to-dos stand in Redis and come up by themselves.
    if (outcome.kind === 'repeated') return entries.length;
    // In this order: a request that came after a result starts a new verification.
    await this.verifier.complete(grant, folded.verificationResults);
    this.verifier.request(grant, folded.verificationRequests);
    this.count(entries.length, folded, poison.length);
    this.log(grant, folded);
    const waking = folded.cameOnline.filter((_, i) => outcome.guarded[i]);
    const wakes = waking.slice(0, 1).map(({ due }): DueToDo => ({ todo: { do: 'wake' }, due }));
    this.effects.withdraw(grant, folded.undone);
    this.effects.begin(grant, [...folded.immediate, ...wakes]);
    for (const { reply, outcome: answer } of folded.replies) await sendReply(this.redis, reply, answer);
    return entries.length;
  }

  forget(grant: Grant): void {
    this.verifier.forget(grant);
    if (this.memory.get(grant.index)?.grant === grant) this.memory.delete(grant.index);
  }

  private memoryOf(grant: Grant, position: string): Memory {
    const known = this.memory.get(grant.index);
    if (known?.grant === grant) return known;
    return {
      grant,
      connections: connectionCache(this.shardCount),
      marks: new LastLiveEntries(position),
      waitingBytes: undefined,
    };
  }

  /** Without the last ones if together they are too large. */
  private async load(
    before: StoredConnections,
    grant: Grant,
    clientIds: readonly string[],
    { connections }: Memory,
    unreadable: Map<string, string>,
  ): Promise<StoredConnections> {
    const isKnown = (id: string): boolean => before.has(id) || connections.get(id) !== undefined;
    const missing = clientIds.filter((id) => !isKnown(id));
    const loaded = await this.directory.load(grant.index, missing, (id, text) => unreadable.set(id, text));
    const stored: StoredConnections = new Map(loaded.map((connection, i) => [missing[i] ?? '', connection]));
    for (const id of clientIds) if (isKnown(id)) stored.set(id, before.get(id) ?? connections.get(id));
    return stored;
  }

  private async removalsOf({ index }: Grant, unreadable: readonly string[]): Promise<ShardWrite[]> {
    if (unreadable.length === 0) return [];
    const accounts = await this.redis.hmget(this.keys.accounts(index), ...unreadable);
    return unreadable.flatMap((id, i) => unreadableWrites(this.keys, index, id, accounts[i] ?? null));
  }

  private decodable(decoded: readonly Decoded[], poison: Poison[]): MailboxMessage[] {
    return decoded.flatMap((one) => {
      if (one.kind !== 'undecodable') return one;
      const { entry, error, clientId } = one;
      this.logger.error({ err: error, client_id: clientId, entry: entry.id }, 'mailbox entry dead-lettered');
      poison.push(letterOf(entry, `could not be decoded: ${reasonOf(error)}`));
      return [];
    });
  }

  private count(
    entries: number,
    { events, verificationRequests, reasons, unkept: { events: untold, deadLetters } }: Folded,
    poison: number,
  ): void {
    applied.inc(entries);
    for (const { type } of events) emittedEvents.inc({ type });
    for (const { reason } of verificationRequests) if (reason !== 'again') requestedVerifications.inc({ reason });
    for (const reason of reasons) deadLettered.inc({ reason });
    if (poison > 0) deadLettered.inc({ reason: 'internal-error' }, poison);
    if (untold > 0) unkept.inc({ what: 'event' }, untold);
    if (deadLetters > 0) unkept.inc({ what: 'dead-letter' }, deadLetters);
  }

  private log(grant: Grant, { events, deadLetters }: Folded): void {
    const where = { shard: grant.index, epoch: grant.epoch };
    if (this.logger.isLevelEnabled('info')) {
      for (const { type, at, ...about } of events) {
        this.logger.info({ ...where, ...about, at: new Date(at).toISOString() }, type);
      }
    }
    for (const { client_id, reason, details } of deadLetters) {
      this.logger.warn({ ...where, client_id, reason, details }, 'message dead-lettered');
    }
  }
}
