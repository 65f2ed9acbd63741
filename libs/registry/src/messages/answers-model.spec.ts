/**
 * Messages and the answers of their client, compared with a model: in any order of claims, publishes whose PUBACK is lost or late, new
 * owners, answers, deadlines, cancels and ends of the time to live, statuses, histories, events, sets and counters are those of it.
 */
import fc from 'fast-check';
import { StaleOwnerError, type Grant } from '@app/sharding';
import {
  AnswersModel,
  isAwaiting,
  isUnfinished,
  type Claim,
  type ModelMessage,
  type Publish,
} from '../../../../test/support/answers-model.js';
import {
  LARGE,
  answerSteps,
  reportsOf,
  type AnswerStep,
  type Outcome,
  type Report,
} from '../../../../test/support/answers-steps.js';
import { CLIENT, GRANT, MessageBench, OUTBOUND, SHARD, withMessages } from '../../../../test/support/message-bench.js';
import { storedMessage } from '../../../../test/support/stored-message.js';
import { FencedCommit } from '../commits/fenced-commit.js';
import { eventsOfEntry } from '../events/stored-event.js';
import { DueTodos } from '../todos/due-work.js';
import { AWAITING_MESSAGE_BYTES, recountBytes } from './byte-budget.js';
import { reportAct } from './report-act.js';

/** `npm run test:answers` raises it. */
const RUNS = Number(process.env['ANSWER_RUNS'] ?? 20);
/** Longer than the test: deadlines pass in steps only. */
const LONG_MS = 600_000;

let redis: MessageBench['redis'];

withMessages((bench) => (redis = bench.redis));

class World {
  private readonly bench = new MessageBench(redis);
  private readonly model = new AnswersModel();
  private readonly commits = new FencedCommit(redis, this.bench.keys);
  private readonly due = new DueTodos(redis, this.bench.keys);
  private readonly keys = this.bench.keys;
  private readonly shardKeys = this.keys.ofMessages(SHARD);
  private epoch = 0;
  /** The message of the step before. */
  private before: string | undefined;
  /** All claims there have been; a step counts them from the newest. */
  private readonly claims: Claim[] = [];
  /** What a message was charged with and the length of its line about answers, when it was accepted. */
  private readonly accepted = new Map<string, { bytes: number; line: number }>();

  async run(steps: readonly AnswerStep[]): Promise<void> {
    await this.bench.own();
    await this.bench.become('online');
    await this.takeOver();
    for (const next of steps) {
      await this.take(next);
      await this.compare();
    }
    await this.end();
  }

  private take(next: AnswerStep): Promise<void> {
    switch (next.do) {
      case 'accept':
        return this.accept(next);
      case 'step':
        return this.step(next);
      case 'complete-again':
        return this.completeAgain(next.claim, next.outcome);
      case 'complete-as-former-owner':
        return this.completeAsFormerOwner(next.claim, next.outcome);
      case 'take-over':
        return this.takeOver();
      case 'release':
        return this.release();
      case 'end-back-off':
        return this.endBackOff();
      case 'sweep':
        return this.sweep();
      case 'forget':
        return this.forget();
      case 'pass-deadline':
        return this.passDeadline(this.chosen(next.message, isAwaiting));
      case 'end-time-to-live':
        return this.endTimeToLive(this.chosen(next.message, isUnfinished));
      case 'cancel':
        return this.cancel(this.idOf(next.message));
      case 'report':
        return this.report(next.reports);
    }
  }

  private async accept({
    hasTimeout,
    isLarge,
    hasKey,
    isRepeated,
  }: Extract<AnswerStep, { do: 'accept' }>): Promise<void> {
    const minted = this.bench.minted({
      payloadJson: isLarge ? LARGE : '1',
      responseTimeoutMs: hasTimeout ? LONG_MS : undefined,
      idempotencyKey: hasKey ? `key-${this.claims.length}-${this.model.messages.length}` : undefined,
    });
    const id = await this.bench.add(minted);
    if (isRepeated) expect(await this.bench.add(minted)).toBe(id);
    const held = this.model.held.length;
    this.model.accept(id, hasTimeout);
    this.claims.push(...this.model.held.slice(held));
    const { bytes, line } = await this.sizesOf(id);
    this.accepted.set(id, { bytes, line });
  }

  private async step({ count, outcome: last, isReplyLost }: Extract<AnswerStep, { do: 'step' }>): Promise<void> {
    const { model } = this;
    if (!model.hasOwner) return;
    const done = model.held.slice(0, count);
    const results = done.map((claim, i): Publish => ({ ...claim, outcome: i === done.length - 1 ? last : 'sent' }));
    // A connection is left with a publish that failed.
    const kept = results.at(-1)?.outcome === 'sent' || results.length === 0 ? model.held.slice(count) : [];
    for (let times = isReplyLost && results.length > 0 ? 2 : 1; times > 0; times--)
      model.held = [...kept, ...(await this.serve(results, kept.at(-1)?.messageId))];
  }

  private async completeAgain(claim: number, outcome: Outcome): Promise<void> {
    const { model } = this;
    const again = this.claims.at(-1 - claim);
    if (again === undefined || !model.hasOwner) return;
    model.held = await this.serve([{ ...again, outcome }], undefined);
  }

  private async completeAsFormerOwner(claim: number, outcome: Outcome): Promise<void> {
    const former = this.claims.at(-1 - claim);
    if (former === undefined) return;
    const step = this.bench.work.step(grantOf(this.epoch - 1), stateOf([{ ...former, outcome }], undefined));
    await expect(step).rejects.toThrow(StaleOwnerError);
  }

  /** A step of the owner, which has read all claims. */
  private async serve(results: readonly Publish[], last: string | undefined): Promise<Claim[]> {
    const [newest] = await redis.xrevrange(this.keys.claims(SHARD), '+', '-', 'COUNT', 1);
    const state = { ...stateOf(results, last), readTo: newest?.[0] };
    const step = await this.bench.work.step(grantOf(this.epoch), state);
    const claims = await this.claimed(step, this.model.step(results, last));
    this.before = (claims.at(-1) ?? results.at(-1))?.messageId ?? this.before;
    return claims;
  }

  private async claimed({ claimed }: { claimed: Claim[] }, wanted: Claim[]): Promise<Claim[]> {
    const claims = claimed.map(({ messageId, attempt }) => ({ messageId, attempt }));
    expect(claims).toEqual(wanted);
    this.claims.push(...claims);
    // A back-off ends in a step only, however slow the test is.
    await redis.zadd(this.keys.ready(SHARD), 'XX', 'GT', Number.MAX_SAFE_INTEGER, CLIENT);
    return claims;
  }

  private async takeOver(): Promise<void> {
    const grant = grantOf(++this.epoch);
    await redis.set(this.keys.owner(grant), grant.fence);
    const { clientIds } = await this.bench.work.takeOver(grant);
    const results = clientIds.map((clientId) => ({ clientId, outcome: 'unwritten' as const }));
    const step = await this.bench.work.step(grant, { readTo: undefined, room: 1, results });
    await this.claimed(step, this.model.takeOver());
  }

  private async release(): Promise<void> {
    const released = this.bench.work.release(grantOf(this.epoch), undefined);
    if (!this.model.hasOwner) return expect(released).rejects.toThrow(StaleOwnerError);
    await released;
    this.model.release();
  }

  private async endBackOff(): Promise<void> {
    await redis.zadd(this.keys.ready(SHARD), 'XX', 0, CLIENT);
    this.model.endBackOff();
  }

  private async report(reports: readonly Report[]): Promise<void> {
    const given = reports.map((one) => reportsOf(one, this.idOf(one.message)));
    const acts = given.map(([, report]) => reportAct(report, false));
    const outcome = await this.commits.commit(GRANT, '0-0', '0-0', acts);
    expect(outcome).toEqual({
      kind: 'committed',
      guarded: [],
      reports: given.map(([report]) => this.model.report(report)),
    });
  }

  private async cancel(id: string): Promise<void> {
    expect(await this.bench.messages.cancel(id)).toEqual(this.model.cancel(id));
  }

  private async passDeadline(m: ModelMessage | undefined): Promise<void> {
    if (m === undefined || !isAwaiting(m)) return;
    await redis.zadd(this.keys.awaiting(SHARD), 'XX', 1, m.id);
    m.isOverdue = true;
  }

  private async endTimeToLive(m: ModelMessage | undefined): Promise<void> {
    if (m === undefined || !isUnfinished(m)) return;
    await this.bench.endTimeToLive(m.id);
    m.hasExpired = true;
  }

  private async sweep(): Promise<void> {
    await this.due.claim(GRANT);
    this.model.sweep();
    // The housekeeping looks at a message that is in flight again after a second: the test does not wait.
    for (const { id, hasExpired } of this.model.outbox)
      if (hasExpired) await redis.zadd(this.keys.expiry(SHARD), 'XX', 1000, id);
  }

  private async forget(): Promise<void> {
    await this.sweep();
    await this.bench.endRetention(...(await this.listed()).filter((id) => this.model.find(id) !== undefined));
    this.model.forget();
    await this.sweep();
  }

  /** Everything has ended: nothing is left of the messages. */
  private async end(): Promise<void> {
    for (const m of this.model.messages) {
      await this.endTimeToLive(m);
      await this.passDeadline(m);
    }
    await this.endBackOff();
    await this.takeOver();
    await this.release();
    await this.forget();
    await this.compare();
    const keys = await redis.keys(`${this.keys.idempotency(SHARD, CLIENT, '')}*`);
    if (keys.length > 0) await redis.del(keys);
    await this.bench.endRetention(...(await this.listed()));
    await this.due.claim(GRANT);
    const { hosts, connections, events, refusal_events, talk_events, log } = this.shardKeys;
    const stays = new Set([
      hosts,
      connections,
      events,
      refusal_events,
      talk_events,
      log,
      `${log}:minutes`,
      this.keys.owner(GRANT),
    ]);
    const left = (await redis.keys(`${this.keys.shard(SHARD)}:*`)).filter((key) => !stays.has(key));
    expect(left).toEqual([]);
  }

  private async compare(): Promise<void> {
    const { model, keys } = this;
    const stored = model.messages.filter(({ isForgotten }) => !isForgotten);
    expect(await this.bench.outbox()).toEqual(model.outbox.map(({ id }) => id));
    expect((await redis.zrange(keys.messages(SHARD, CLIENT), '0', '-1')).sort()).toEqual(idsOf(stored));
    expect((await redis.zrange(keys.expiry(SHARD), '0', '-1')).sort()).toEqual(idsOf(model.outbox));
    expect((await redis.zrange(keys.awaiting(SHARD), '0', '-1')).sort()).toEqual(idsOf(stored.filter(isAwaiting)));
    await Promise.all([this.compareShown(), this.compareEvents(), this.compareCounters(stored)]);
  }

  private async compareShown(): Promise<void> {
    const { messages } = this.model;
    const all = await Promise.all(messages.map(({ id }) => this.bench.messages.read(id)));
    for (const [i, m] of messages.entries()) {
      const read = all[i];
      const { status, history = [], responseDeadline, progress, answer } = read ?? {};
      expect(
        read && {
          ...{ status, hasDeadline: responseDeadline !== undefined, percent: progress?.percent },
          history: history.map((change) => change.status),
          answer: answer && { id: answer.messageId, payload: answer.payloadJson, late: answer.late },
        },
      ).toEqual(
        m.isForgotten
          ? undefined
          : {
              ...{ status: this.model.statusOf(m), hasDeadline: m.hasDeadline, percent: m.progress.at(-1) },
              history: m.shown.map((shown) => (shown === 'held' ? 'queued' : shown)),
              answer: m.answer,
            },
      );
    }
  }

  /** Events tell what the histories do, each once. */
  private async compareEvents(): Promise<void> {
    const [states, talk, refusals] = await Promise.all(
      [this.shardKeys.events, this.shardKeys.talk_events, this.shardKeys.refusal_events].map((key) => this.events(key)),
    );
    for (const { id, shown, answer, progress } of this.model.messages) {
      const own = states?.filter(({ message_id }) => message_id === id) ?? [];
      expect(own.filter(({ late }) => late === undefined).map(({ status }) => status)).toEqual(shown);
      const late = { status: shown.at(-1), answer_size: answer?.payload.length };
      expect(own.filter((event) => event['late'])).toMatchObject(answer?.late === true ? [late] : []);
      const reported = talk?.filter(({ message_id }) => message_id === id);
      expect(reported?.map(({ percent }) => percent)).toEqual(progress);
    }
    expect(refusals).toMatchObject(this.model.unmatched);
  }

  private async events(key: string): Promise<Record<string, unknown>[]> {
    const entries = await redis.xrange(key, '-', '+');
    return entries
      .flatMap(([entry, fields]) => eventsOfEntry(entry, 0, fields))
      .map(({ text }) => JSON.parse(text) as Record<string, unknown>);
  }

  /** Each record is charged with what it takes, and the counters are the sums of the records. */
  private async compareCounters(stored: readonly ModelMessage[]): Promise<void> {
    const { keys } = this;
    const payloadKeys: string[] = [];
    const all = await Promise.all(stored.map(({ id }) => this.sizesOf(id)));
    for (const [i, { bytes, finished, history, line, payload, hasPayloadKey }] of all.entries()) {
      const m = stored[i];
      if (m === undefined) throw new Error('a size has no message');
      const before = this.accepted.get(m.id) ?? { bytes: NaN, line: NaN };
      const waits = isAwaiting(m) ? AWAITING_MESSAGE_BYTES : 0;
      const wanted = isUnfinished(m) ? before.bytes + line - before.line : waits + finished + history + line + payload;
      expect(bytes).toBe(wanted);
      if (hasPayloadKey) payloadKeys.push(keys.payload(SHARD, m.id));
    }
    expect((await redis.keys(`${this.shardKeys.payload_prefix}*`)).sort()).toEqual(payloadKeys.sort());
    const counted = await redis.hgetall(keys.outboxBytes(SHARD));
    expect(await recountBytes(redis, keys, GRANT)).toBe(true);
    expect(counted).toEqual(await redis.hgetall(keys.outboxBytes(SHARD)));
    const listed = await this.listed();
    const sizes = await Promise.all(listed.map((id) => this.sizesOf(id)));
    const sum = sizes.reduce((total, { bytes }) => total + bytes, 0);
    const { finished_count, finished_bytes } = this.shardKeys;
    expect(Number(await redis.get(finished_count))).toBe(listed.length);
    for (const payer of ['', 'unknown']) expect(Number(await redis.zscore(finished_bytes, payer))).toBe(sum);
    const finished = stored.filter((m) => !isUnfinished(m) && !isAwaiting(m));
    expect(listed.filter((id) => this.model.find(id) !== undefined).sort()).toEqual(idsOf(finished));
  }

  /** Finished messages, and those of which only the answer to their Idempotency-Key is left. */
  private async listed(): Promise<string[]> {
    return [...(await this.bench.finishedLists()).values()].flat();
  }

  private async sizesOf(id: string) {
    const parts = await storedMessage(redis, this.keys.message(SHARD, id));
    const { bytes, finished_bytes, history = '', answer_line, payload = '', has_payload_key } = parts;
    const hasPayloadKey = has_payload_key === '1';
    return {
      ...{ bytes: Number(bytes), finished: Number(finished_bytes), history: history.length, hasPayloadKey },
      line: answer_line === undefined ? 0 : answer_line.length + 1,
      payload: hasPayloadKey ? await redis.strlen(this.keys.payload(SHARD, id)) : payload.length,
    };
  }

  private chosen(message: number, filter = (m: ModelMessage) => !m.isForgotten): ModelMessage | undefined {
    const found = this.model.messages.filter(filter);
    const before = message === 0 ? found.find(({ id }) => id === this.before) : undefined;
    const chosen = before ?? found[message % found.length];
    this.before = chosen?.id ?? this.before;
    return chosen;
  }

  private idOf(message: number): string {
    return (this.chosen(message) ?? this.model.messages[message])?.id ?? this.bench.messages.mint(CLIENT);
  }
}

function stateOf(results: readonly Publish[], last: string | undefined) {
  const lastClaimed = new Map(last === undefined ? [] : [[CLIENT, last]]);
  const packed = results.map(({ outcome, ...claim }) =>
    outcome === 'retry'
      ? { ...claim, clientId: CLIENT, outcome, details: 'no PUBACK' }
      : { ...claim, clientId: CLIENT, outcome },
  );
  return { readTo: undefined, room: 1, results: packed, lastClaimed };
}

function grantOf(epoch: number): Grant {
  return { ...OUTBOUND, epoch, fence: `${epoch}:bench` };
}

function idsOf(messages: readonly ModelMessage[]): string[] {
  return messages.map(({ id }) => id).sort();
}

it('messages agree with the model after any claims, publishes, answers and deadlines', async () => {
  await fc.assert(
    fc.asyncProperty(answerSteps, (steps) => new World().run(steps)),
    { numRuns: RUNS },
  );
});
