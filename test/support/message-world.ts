/** A connection with a few messages, to which random steps of everything that may happen to them are applied, and what must hold then. */
import type { Redis } from '@app/platform';
import {
  DueTodos,
  EXPIRED_UNKNOWN,
  FencedCommit,
  eventsOfEntry,
  isUnmatched,
  recountBytes,
  TRANSITIONS,
  type Answer,
  type ClaimedMessage,
  type MessageReport,
  type RegistryKeys,
  type ReportOutcome,
  type StoredMessage,
  type StoredStatus,
} from '@app/registry';
import { STORED_STATUSES } from '../../libs/registry/src/message-status.js';
import { AWAITING_MESSAGE_BYTES, MESSAGE_BYTES } from '../../libs/registry/src/messages/byte-budget.js';
import { reportAct } from '../../libs/registry/src/messages/report-act.js';
import { CLIENT, GRANT, MessageBench, SHARD, type Served } from './message-bench.js';
import { COUNT, RESPONSE_TIMEOUT_MS, type Outcome, type Step } from './message-steps.js';
import { storedMessage } from './stored-message.js';

/** In this order messages are in an outbox. */
const ORDER = ['published', 'ahead', 'waiting'];

export const FINAL: readonly StoredStatus[] = STORED_STATUSES.filter((status) => TRANSITIONS[status].length === 0);

/** A connection with a few messages, to which random steps are applied. */
export class World {
  readonly bench: MessageBench;
  readonly keys: RegistryKeys;
  readonly messages: MessageBench['messages'];
  readonly ids: readonly string[];
  private readonly due: DueTodos;
  private readonly commits: FencedCommit;
  private readonly before = new Map<string, StoredMessage>();
  private readonly weights = new Map<string, number>();
  /** The number of answers that matched no message. */
  private unmatched = 0;
  /** What the owner has claimed: it publishes the first one. */
  private held: ClaimedMessage[] = [];

  constructor(private readonly redis: Redis) {
    this.bench = new MessageBench(redis);
    ({ keys: this.keys, messages: this.messages } = this.bench);
    this.ids = Array.from({ length: COUNT }, () => this.messages.mint(CLIENT));
    this.due = new DueTodos(redis, this.keys);
    this.commits = new FencedCommit(redis, this.keys);
  }

  async begin(): Promise<void> {
    await this.bench.own();
    await this.bench.become('online');
  }

  async accept(
    id: string,
    ttlMs: number,
    {
      idempotencyKey,
      owned = false,
      awaits = false,
    }: { idempotencyKey?: string; owned?: boolean; awaits?: boolean } = {},
  ): Promise<void> {
    const payloadJson = JSON.stringify('x'.repeat(this.ids.indexOf(id) * 100));
    const keyBytes = idempotencyKey === undefined ? 0 : this.keys.idempotency(SHARD, CLIENT, idempotencyKey).length;
    if (!this.weights.has(id)) this.weights.set(id, MESSAGE_BYTES + 'd'.length + payloadJson.length + keyBytes);
    const responseTimeoutMs = awaits ? RESPONSE_TIMEOUT_MS : undefined;
    const message = { messageId: id, directive: 'd', payloadJson, ttlMs, idempotencyKey, responseTimeoutMs };
    if (owned) await this.bench.owning(() => this.bench.accept(message));
    else await this.bench.accept(message);
  }

  async apply(one: Step): Promise<void> {
    const id = 'which' in one ? (this.ids[one.which] ?? '') : '';
    switch (one.do) {
      case 'accept':
        return this.accept(id, one.short ? 3 : 600_000, { ...one, ...(one.key && { idempotencyKey: `key of ${id}` }) });
      case 'take over':
        this.held = claimsOf(await this.bench.takeOver());
        return;
      case 'complete what is held':
        return this.completeHeld(one.outcome, one.stops);
      case 'complete':
        return this.complete(id, one.outcome, one.late);
      case 'cancel':
        await this.messages.cancel(id);
        return;
      case 'client error':
        await this.bench.outboxes.failByClient(CLIENT, id, 'broken', false);
        return;
      case 'respond':
        return this.respond(id, one);
      case 'report progress':
        return this.reportProgress(id, one.percent);
      case 'expire':
        return this.expire();
      case 'pass the response deadlines':
        return this.passDeadlines();
      case 'become':
        return this.bench.become(one.state);
    }
  }

  private async respond(id: string, { type, answer, large }: Extract<Step, { do: 'respond' }>): Promise<void> {
    const before = await this.messages.read(id);
    const messageId = `${type} ${answer}`;
    const expected = expectedOutcome(before, await this.wasClaimed(id), type, messageId);
    const about = { inResponseTo: id, messageId };
    const payloadJson = `"${'x'.repeat(large ? 4000 : 10)}"`;
    const sent: Answer =
      type === 'message-error' ? { ...about, type, details: 'why' } : { ...about, type, payloadJson };
    const outcome = await this.report({ kind: 'answer', clientId: CLIENT, at: 1, answer: sent, mayEmit: true });
    expect(outcome).toBe(expected);
    const after = await this.messages.read(id);
    if (expected === 'answered' || expected === 'late') {
      const { length: size } = after?.answer?.payloadJson ?? '';
      const payload = type === 'message-error' ? '{"details":"why"}' : payloadJson;
      expect(after?.answer).toMatchObject({ messageId, payloadJson: payload, size, late: expected === 'late' });
    } else if (expected !== 'failed') {
      expect(after).toEqual(before);
    }
    if (isUnmatched(expected)) this.unmatched++;
    expect(await this.redis.xlen(this.keys.refusalEvents(SHARD))).toBe(this.unmatched);
  }

  private async reportProgress(id: string, percent: number): Promise<void> {
    const before = await this.messages.read(id);
    const lengthBefore = await this.answerLineOf(id);
    const isFinal = before !== undefined && FINAL.some((status) => status === before.status);
    const wasClaimed = await this.wasClaimed(id);
    const about = { inResponseTo: id, messageId: 'p', percent };
    const outcome = await this.report({ kind: 'progress', clientId: CLIENT, at: 1, progress: about });
    if (before === undefined) expect(outcome).toBe('unknown');
    else if (!wasClaimed) expect(outcome).toBe('not-published');
    else expect(outcome).toBe(isFinal ? 'already-final' : 'kept');
    if (outcome !== 'kept') {
      expect(await this.messages.read(id)).toEqual(before);
      return;
    }
    expect((await this.messages.read(id))?.progress).toEqual({ percent, at: 1 });
    const grown = (await this.answerLineOf(id)) - lengthBefore;
    this.weights.set(id, (this.weights.get(id) ?? NaN) + grown);
  }

  private async report(report: MessageReport): Promise<ReportOutcome | undefined> {
    const outcome = await this.commits.commit(GRANT, '0-0', '0-0', [reportAct(report, false)]);
    return outcome.kind === 'committed' ? outcome.reports[0] : undefined;
  }

  private async wasClaimed(id: string): Promise<boolean> {
    const key = this.keys.message(SHARD, id);
    if ((await this.redis.exists(key)) === 0) return false;
    const { attempts, status = '' } = await storedMessage(this.redis, key);
    return attempts !== '0' || ['in_flight', 'sent'].includes(status);
  }

  /** Bytes of what the record of a message has of its answer and its progress, without the payload of the answer. */
  private async answerLineOf(id: string): Promise<number> {
    const key = this.keys.message(SHARD, id);
    if ((await this.redis.exists(key)) === 0) return 0;
    const { answer_line = '' } = await storedMessage(this.redis, key);
    return answer_line === '' ? 0 : answer_line.length + 1;
  }

  private async attemptsOf(id: string): Promise<number> {
    const key = this.keys.message(SHARD, id);
    return (await this.redis.exists(key)) === 0 ? 1 : Number((await storedMessage(this.redis, key))['attempts']) || 1;
  }

  private async complete(id: string, outcome: Outcome, late: boolean): Promise<void> {
    const claims = await this.attemptsOf(id);
    const attempt = late ? claims - 1 : claims;
    this.held = claimsOf(await this.bench.complete({ messageId: id, attempt, outcome, details: 'why' }));
  }

  /** Completes the first message that is held, and goes on with those behind it if it was sent. */
  private async completeHeld(outcome: Outcome | 'unwritten', stops: boolean): Promise<void> {
    const [first, ...others] = this.held;
    if (first === undefined) return;
    const { clientId, messageId, attempt } = first;
    const last = others.at(-1)?.messageId;
    const goesOn = last !== undefined && outcome === 'sent' && !stops;
    const step = await this.bench.step({
      room: stops ? 'none-goes-on' : 0,
      results: [{ clientId, messageId, attempt, outcome, details: 'why', publishedAt: await this.bench.now() }],
      ...(goesOn && { lastClaimed: new Map([[CLIENT, last]]) }),
    });
    this.held = goesOn && !step.stopped.includes(CLIENT) ? [...others, ...step.claimed] : step.claimed;
  }

  /** Waits until messages with a short time to live have expired, and then does the work that is due. */
  async expire(): Promise<void> {
    for (const id of this.ids) {
      const message = await this.messages.read(id);
      if (message === undefined || message.expiresAt > message.createdAt + 1000) continue;
      await this.bench.untilExpiry(id);
    }
    await this.due.claim(GRANT);
  }

  /** As if the response deadlines of all messages had passed; then does the work that is due. */
  private async passDeadlines(): Promise<void> {
    const awaiting = this.keys.awaiting(SHARD);
    for (const id of await this.redis.zrange(awaiting, '0', '-1')) await this.redis.zadd(awaiting, 1, id);
    await this.due.claim(GRANT);
  }

  async check(): Promise<void> {
    const outbox = await this.redis.lrange(this.keys.outbox(SHARD, CLIENT), 0, -1);
    const expiry = await this.redis.zrange(this.keys.expiry(SHARD), '0', '-1');
    const awaiting = await this.redis.zrange(this.keys.awaiting(SHARD), '0', '-1');
    await this.checkInFlight(outbox);
    expect(new Set(outbox).size).toBe(outbox.length);
    for (const id of this.ids) {
      const message = await this.messages.read(id);
      if (message === undefined) {
        expect(this.before.has(id)).toBe(false);
        expect(outbox).not.toContain(id);
        continue;
      }
      this.checkHistory(message);
      this.checkAnswer(message);
      await this.checkEvents(message);
      const status = message.status === 'held' ? 'queued' : message.status;
      expect(awaiting.includes(id)).toBe(isAwaiting(message));
      const sentAt = message.history.find((change) => change.status === 'sent')?.at;
      const { responseDeadline } = message;
      if (responseDeadline !== undefined) expect(responseDeadline).toBe((sentAt ?? NaN) + RESPONSE_TIMEOUT_MS);
      if (status === 'queued' || status === 'in_flight') {
        expect(outbox).toContain(id);
        expect(expiry).toContain(id);
      } else if (status !== 'failed') {
        // A message that the client failed in flight may stay until its publish is completed.
        expect(outbox).not.toContain(id);
      }
      this.before.set(id, message);
    }
    await this.checkTimesToLive();
    await this.checkBytes();
    await this.checkFinishedBytes();
  }

  /** The messages in flight are the first ones of the outbox. Behind one that is claimed ahead, all are. */
  private async checkInFlight(outbox: readonly string[]): Promise<void> {
    const states: string[] = [];
    for (const id of outbox) {
      const message = await this.messages.read(id);
      if (message === undefined || !['queued', 'held', 'in_flight'].includes(message.status)) continue;
      const isAhead = message.status === 'in_flight' && message.history.at(-1)?.status !== 'in_flight';
      // Progress says that a message was published, also if nothing is known yet of those before it.
      if (message.status === 'in_flight' && !isAhead && message.progress !== undefined) continue;
      states.push(isAhead ? 'ahead' : message.status === 'in_flight' ? 'published' : 'waiting');
    }
    expect(states).toEqual(states.toSorted((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b)));
  }

  /** Exactly the unfinished messages and those that await an answer are charged, those in flight are counted, and a recount has the same result. */
  private async checkBytes(): Promise<void> {
    const known = [...this.before.values()];
    const unfinished = known.filter(({ status }) => ['queued', 'held', 'in_flight'].includes(status));
    let bytes = unfinished.reduce((sum, { messageId }) => sum + (this.weights.get(messageId) ?? NaN), 0);
    for (const { messageId } of known.filter(isAwaiting)) bytes += await this.restOf(messageId);
    const inFlight = unfinished.filter(({ status }) => status === 'in_flight').length;
    const expected = {
      ...(bytes > 0 && { '': `${bytes}`, unknown: `${bytes}`, [`client:${CLIENT}`]: `${bytes}` }),
      ...(inFlight > 0 && { 'in_flight:unknown': `${inFlight}` }),
    };
    expect(await this.redis.hgetall(this.keys.outboxBytes(SHARD))).toEqual(expected);
    await recountBytes(this.redis, this.keys, GRANT);
    expect(await this.redis.hgetall(this.keys.outboxBytes(SHARD))).toEqual(expected);
  }

  /** The finished messages are charged with what they take, their answers included. */
  private async checkFinishedBytes(): Promise<void> {
    let sum = 0;
    for (const [id, message] of this.before) {
      if (['queued', 'held', 'in_flight'].includes(message.status) || isAwaiting(message)) continue;
      const { finished_bytes, bytes, history = '' } = await storedMessage(this.redis, this.keys.message(SHARD, id));
      const { length } = message.answer?.payloadJson ?? '';
      expect(Number(bytes)).toBe(Number(finished_bytes) + history.length + (await this.answerLineOf(id)) + length);
      sum += Number(bytes);
    }
    expect(Number(await this.redis.zscore(this.keys.finishedBytes(SHARD), ''))).toBe(sum);
  }

  /** The bytes of a message that was sent: its payload is gone. */
  private async restOf(id: string): Promise<number> {
    const {
      finished_bytes,
      history = '',
      answer_line = '',
    } = await storedMessage(this.redis, this.keys.message(SHARD, id));
    return AWAITING_MESSAGE_BYTES + Number(finished_bytes) + history.length + answer_line.length + 1;
  }

  private checkHistory({ messageId, status, history, createdAt }: StoredMessage): void {
    const moves = history.map((change) => change.status);
    expect(moves[0]).toBe('queued');
    expect(history[0]?.at).toBe(createdAt);
    // A message that is claimed ahead has no trace of it yet.
    if (moves.at(-1) === 'queued') expect(['queued', 'held', 'in_flight']).toContain(status);
    else expect(moves.at(-1)).toBe(status);
    moves.slice(1).forEach((to, i) => expect(TRANSITIONS[moves[i] ?? 'failed']).toContain(to));
    history.slice(1).forEach((change, i) => expect(change.at).toBeGreaterThanOrEqual(history[i]?.at ?? Infinity));
    const before = this.before.get(messageId);
    if (before === undefined) return;
    expect(history.slice(0, before.history.length)).toEqual(before.history);
    const last = before.history.at(-1)?.status ?? 'queued';
    if (FINAL.includes(last)) expect(history).toEqual(before.history);
  }

  /** The first answer stays, and its message is final. */
  private checkAnswer({ messageId, status, answer }: StoredMessage): void {
    const before = this.before.get(messageId)?.answer;
    if (before !== undefined) expect(answer).toEqual(before);
    if (status === 'answered') expect(answer?.late).toBe(false);
    if (answer !== undefined && status !== 'answered') {
      expect([status, answer.late]).toEqual([expect.stringMatching(/^(failed|expired|cancelled|unanswered)$/), true]);
    }
  }

  /** Each change has one event, in order, and so has a late answer. */
  private async checkEvents(message: StoredMessage): Promise<void> {
    const all = await this.messageEvents(message.messageId);
    const [events, late] = [all.filter((one) => one.late !== true), all.filter((one) => one.late === true)];
    expect(late.map(({ answer_size }) => answer_size)).toEqual(
      message.answer?.late === true ? [message.answer.size] : [],
    );
    expect(late.every((one) => one === all.at(-1))).toBe(true);
    expect(events.map(({ client_id }) => client_id)).toEqual(events.map(() => CLIENT));
    // Events show a queued message as `held` if its client is offline or not subscribed.
    const statuses = events.map(({ status }) => (status === 'held' ? 'queued' : status));
    expect(statuses).toEqual(message.history.map(({ status }) => status));
    expect(events.map(({ details }) => details)).toEqual(message.history.map(({ details }) => details));
  }

  /** Each message is scheduled to expire, to be unanswered or to be forgotten, and the keys of answers have an expiry. */
  private async checkTimesToLive(): Promise<void> {
    const found = await this.redis.keys(`${this.keys.shard(SHARD)}:idempotency:*`);
    for (const key of found) expect(await this.redis.pttl(key)).toBeGreaterThan(0);
    const kept = await this.redis.zrange(this.keys.messages(SHARD, CLIENT), '0', '-1');
    const sets = [this.keys.expiry(SHARD), this.keys.awaiting(SHARD)];
    const waiting = (await Promise.all(sets.map((set) => this.redis.zrange(set, '0', '-1')))).flat();
    const finished = [...(await this.bench.finishedLists()).values()].flat();
    expect(Number(await this.redis.get(this.keys.finishedCount(SHARD)))).toBe(finished.length);
    expect([...waiting, ...finished].sort()).toEqual([...kept].sort());
    expect(kept.toSorted()).toEqual([...this.before.keys()].sort());
  }

  private async messageEvents(id: string): Promise<MessageEvent[]> {
    const entries = await this.redis.xrange(this.keys.events(SHARD), '-', '+');
    const events = entries
      .flatMap(([entry, fields]) => eventsOfEntry(entry, 0, fields))
      .map(({ text }) => JSON.parse(text) as MessageEvent & { type: string });
    return events.filter(({ type, message_id }) => type === 'message.status' && message_id === id);
  }
}

function isAwaiting({ status, responseDeadline }: StoredMessage): boolean {
  return status === 'sent' && responseDeadline !== undefined;
}

function claimsOf(served: Served): ClaimedMessage[] {
  return served.kind === 'claimed' ? [served.message, ...served.ahead] : [];
}

interface MessageEvent {
  client_id: string;
  message_id: string;
  status: string;
  details?: string;
  answer_size?: number;
  late?: boolean;
}

/** What has to become of an answer. */
function expectedOutcome(
  before: StoredMessage | undefined,
  wasClaimed: boolean,
  type: Answer['type'],
  answerId: string,
): ReportOutcome {
  if (before === undefined) return 'unknown';
  if (!wasClaimed) return 'not-published';
  const { status, answer, history } = before;
  if (answer?.messageId === answerId) return 'repeated';
  if (answer !== undefined) return 'already-final';
  if (history.at(-1)?.details === EXPIRED_UNKNOWN) return 'late';
  if (status === 'failed') return type === 'message-error' ? 'repeated' : 'already-final';
  if (status === 'expired' || status === 'cancelled' || status === 'unanswered') return 'late';
  return type === 'message-error' ? 'failed' : 'answered';
}
