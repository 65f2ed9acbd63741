/**
 * One sweep: reads everything the broker retains on status topics, passes on what differs from the registry, and has
 * every client verified that the registry has online and the sweep did not see. Safe to repeat, whole or in part.
 *
 * - W1 It changes nothing itself: what it found goes through the mailboxes, in single file with live messages. The last
 *   ids of the mailboxes are noted before the broker is asked; what came live since then stands above what was read.
 * - W2 Absence proves nothing: who was not seen is verified, and a read that was cut short only costs time.
 * - W3 What is in hand is bounded: past it the socket is not read.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { sweepRetained, type BrokerAccess } from '@app/broker';
import { backoffMs, counter, gauge, type Logger, type Redis } from '@app/platform';
import { shardOf, type TopicTemplate } from '@app/protocol';
import {
  NO_CORRECTIONS,
  encodeCommand,
  encodeVerified,
  tellAll,
  type ConnectionDirectory,
  type Corrections,
  type RegistryKeys,
  type Retained,
  type SweepRecord,
  type SweepTrigger,
  type Sweeps,
} from '@app/registry';
import type { MailboxItem, Mailboxes } from '@app/sharding';
import { readable } from '../intake/seal.js';
import { digestOf } from '../shard/retained-state.js';
import { differs } from './comparison.js';

const readMessages = counter('sweep_messages_read', 'Retained status messages read by sweeps.');
const passed = counter('sweep_clients_passed_on', 'Clients that sweeps passed on, by why: differing, unseen.', ['why']);
const corrections = counter('sweep_corrections', 'What sweeps have changed, by kind.', ['kind']);
const ended = counter('sweeps', 'Sweeps that ended here, by outcome.', ['outcome']);
const running = gauge('sweep_running', 'Whether a sweep runs here (1) or not (0).');
const lasted = gauge('sweep_duration_seconds', 'Duration of the last sweep that ended here.');
const lastEnd = gauge('sweep_last_end_timestamp_seconds', 'When the last sweep ended here, Unix time.');

/** Clients compared at a time. */
const BATCH = 500;
/** Retained bytes in hand past which the socket is held back. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Reads of one sweep, where the broker cuts them short. */
const MOST_READS = 5;
/** Longest silence of a read. */
const SILENCE_MS = 3000;
/** Results that have not come by then are left to the shards: their to-dos bring them about. */
const NO_PROGRESS_MS = 15_000;
const REPORT_MS = 1000;

export interface SweepParts {
  broker: BrokerAccess;
  sentinel: string;
  statusTopics: readonly TopicTemplate[];
  maxInboundBytes: number;
  redis: Redis;
  keys: RegistryKeys;
  mailboxes: Pick<Mailboxes, 'lastId' | 'sendAll'>;
  directory: Pick<ConnectionDirectory, 'load' | 'onlineAfter'>;
  sweeps: Sweeps;
  shardCount: number;
  member: string;
  /** Identifies the key space; another one means that it was lost meanwhile. */
  keySpace: () => Promise<string>;
  logger: Logger;
}

interface Found extends Retained {
  clientId: string;
  shard: number;
}

/** The key space was lost while it was being swept. */
export class KeySpaceLostError extends Error {
  override readonly name = 'KeySpaceLostError';
}

export class Sweep {
  private readonly record: SweepRecord;
  private readonly seen = new Set<string>();
  private noted: string[] = [];
  private batch: Found[] = [];
  private bytes = 0;
  private comparing: Promise<void> = Promise.resolve();
  private failure: Error | undefined;

  constructor(
    private readonly parts: SweepParts,
    id: string,
    trigger: SweepTrigger,
    private readonly signal: AbortSignal,
  ) {
    const { member } = parts;
    this.record = {
      ...{ id, trigger, state: 'running', member, startedAt: Date.now(), endedAt: null, complete: null },
      ...{ read: 0, differing: 0, unseen: 0, corrections: NO_CORRECTIONS },
    };
  }

  /** @throws IncompleteReadError, KeySpaceLostError, or what Redis says: it is to be run again. */
  async run(): Promise<SweepRecord> {
    const { sweeps, logger, keySpace } = this.parts;
    const { id, trigger } = this.record;
    running.set(1);
    const report = setInterval(() => void this.report(), REPORT_MS);
    try {
      const swept = await keySpace();
      await sweeps.save(this.record);
      await this.tell('sweep.started');
      logger.info({ sweep: id, trigger }, 'sweep started');
      this.record.complete = await this.readAll();
      await this.verifyUnseen();
      await this.awaitResults();
      if ((await keySpace()) !== swept) throw new KeySpaceLostError('the key space was lost during the sweep');
      await sweeps.markSwept(this.record.startedAt);
      clearInterval(report);
      await this.end();
      return this.record;
    } catch (error) {
      ended.inc({ outcome: 'failed' });
      throw error;
    } finally {
      clearInterval(report);
      running.set(0);
    }
  }

  /** @returns whether the broker is believed to have sent everything */
  private async readAll(): Promise<boolean> {
    const { broker, sentinel, statusTopics, logger } = this.parts;
    const filters = statusTopics.map(({ filter }) => filter);
    const { id } = this.record;
    for (let pass = 1; ; pass++) {
      this.noted = await this.lastIds();
      const clientId = `ingester-sweep-${id}-${pass}`;
      const options = { ...broker, clientId, filters, sentinel, silenceMs: SILENCE_MS, signal: this.signal };
      const how = await sweepRetained(options, (topic, payload) => this.take(topic, payload));
      this.flush();
      await this.compared();
      if (how === 'complete') return true;
      logger.warn({ sweep: id, pass, read: this.record.read }, 'the broker cut a sweep short; check its queue limits');
      if (pass === MOST_READS) return false;
    }
  }

  private lastIds(): Promise<string[]> {
    const { mailboxes, shardCount } = this.parts;
    return Promise.all(Array.from({ length: shardCount }, (_, shard) => mailboxes.lastId(shard)));
  }

  private take(topic: string, payload: Buffer): Promise<void> | undefined {
    const { statusTopics, maxInboundBytes, shardCount } = this.parts;
    for (const template of statusTopics) {
      const clientId = template.clientIdOf(topic);
      if (clientId === undefined) continue;
      const one = statusTopics.length === 1 ? clientId : topic;
      if (this.seen.has(one)) return undefined;
      this.seen.add(one);
      this.record.read++;
      readMessages.inc();
      const found = { topic: template.template, ...readable(payload, maxInboundBytes) };
      this.batch.push({ ...found, clientId, shard: shardOf(clientId, shardCount) });
      this.bytes += payload.length;
      if (this.batch.length >= BATCH) this.flush();
      return this.bytes > MOST_BYTES ? this.compared() : undefined;
    }
    return undefined;
  }

  private flush(): void {
    const { batch } = this;
    if (batch.length === 0) return;
    this.batch = [];
    const bytes = batch.reduce((sum, { body }) => sum + body.length, 0);
    this.comparing = this.comparing
      .then(() => this.compare(batch))
      .catch((error: unknown) => {
        this.failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => (this.bytes = Math.max(0, this.bytes - bytes)));
  }

  /** Waits until everything in hand has been compared. */
  private async compared(): Promise<void> {
    await this.comparing;
    if (this.failure !== undefined) throw this.failure;
  }

  private async compare(batch: readonly Found[]): Promise<void> {
    this.signal.throwIfAborted();
    const byShard = new Map<number, Found[]>();
    for (const found of batch) {
      const others = byShard.get(found.shard);
      if (others === undefined) byShard.set(found.shard, [found]);
      else others.push(found);
    }
    await Promise.all(Array.from(byShard, ([shard, found]) => this.compareShard(shard, found)));
  }

  private async compareShard(shard: number, found: readonly Found[]): Promise<void> {
    const { directory, sweeps } = this.parts;
    const now = Date.now();
    const connections = await directory.load(
      shard,
      found.map(({ clientId }) => clientId),
    );
    const differing = found.flatMap((one, i) => {
      const why = differs(connections[i], one, now);
      return why === undefined ? [] : [{ one, why }];
    });
    const aside = new Map(
      differing.flatMap(({ one, why }) => (why === 'aside' ? [[one.clientId, digestOf(one.body)] as const] : [])),
    );
    const passedOn = await sweeps.passedOn(shard, aside);
    const items = differing.filter(({ one }) => !passedOn.has(one.clientId)).map(({ one }) => this.itemOf(one));
    await this.send(shard, items);
    await sweeps.notePassedOn(shard, aside);
    this.record.differing += items.length;
    passed.inc({ why: 'differing' }, items.length);
  }

  /** What was read itself; or, where the client may have retained something elsewhere too, that it be verified. */
  private itemOf({ clientId, shard, topic, body, refused }: Found): MailboxItem {
    const { id } = this.record;
    if (this.parts.statusTopics.length > 1) return verify(clientId, id);
    const retained = [{ topic, body, ...(refused && { refused }) }];
    return encodeVerified({ clientId, attempt: '', retained, sweep: id, noted: this.noted[shard] ?? '0-0' });
  }

  private async verifyUnseen(): Promise<void> {
    const { directory, shardCount, statusTopics } = this.parts;
    for (let shard = 0; shard < shardCount; shard++) {
      for (let after = ''; ;) {
        this.signal.throwIfAborted();
        const ids = await directory.onlineAfter(shard, after, BATCH);
        const unseen =
          statusTopics.length === 1
            ? ids.filter((id) => !this.seen.has(id))
            : ids.filter((id) => !statusTopics.some((template) => this.seen.has(template.topicOf(id))));
        await this.send(
          shard,
          unseen.map((clientId) => verify(clientId, this.record.id)),
        );
        this.record.unseen += unseen.length;
        passed.inc({ why: 'unseen' }, unseen.length);
        if (ids.length < BATCH) break;
        after = ids.at(-1) ?? '';
      }
    }
  }

  /** Waits while a mailbox is full. */
  private async send(shard: number, items: readonly MailboxItem[]): Promise<void> {
    let left = items;
    for (let attempt = 0; left.length > 0;) {
      const taken = await this.parts.mailboxes.sendAll(shard, left);
      left = left.slice(taken);
      attempt = taken > 0 ? 0 : attempt + 1;
      if (left.length > 0) await sleep(backoffMs(attempt, 20, 500), undefined, { signal: this.signal });
    }
  }

  private async awaitResults(): Promise<void> {
    const { differing, unseen, id } = this.record;
    let progressAt = performance.now();
    for (let attempt = 0; ; attempt++) {
      const counts = await this.parts.sweeps.corrections(id);
      const sum = sumOf(counts);
      if (sum > sumOf(this.record.corrections)) {
        progressAt = performance.now();
        attempt = 0;
      }
      this.record.corrections = counts;
      if (sum >= differing + unseen) return;
      if (performance.now() - progressAt > NO_PROGRESS_MS) {
        this.parts.logger.warn(
          { sweep: id, open: differing + unseen - sum },
          'results of a sweep are left to the shards',
        );
        return;
      }
      await sleep(backoffMs(attempt, 20, 500), undefined, { signal: this.signal });
    }
  }

  private async report(): Promise<void> {
    const { sweeps, logger } = this.parts;
    const { id, read, differing, unseen, startedAt } = this.record;
    const rate = Math.round((read * 1000) / Math.max(1, Date.now() - startedAt));
    logger.info({ sweep: id, read, differing, unseen, read_a_second: rate }, 'sweep in progress');
    await sweeps.save(this.record).catch((error: unknown) => logger.debug({ err: error }, 'progress not saved'));
  }

  private async end(): Promise<void> {
    const { record, parts } = this;
    const now = Date.now();
    record.state = 'ended';
    record.endedAt = now;
    await parts.sweeps.save(record);
    await this.tell('sweep.ended');
    for (const [kind, count] of Object.entries(record.corrections)) corrections.inc({ kind }, count as number);
    ended.inc({ outcome: record.complete === true ? 'complete' : 'truncated' });
    lasted.set((now - record.startedAt) / 1000);
    lastEnd.set(now / 1000);
    const { id, trigger, read, differing, unseen, complete } = record;
    parts.logger.info(
      { sweep: id, trigger, complete, read, differing, unseen, ...record.corrections, ms: now - record.startedAt },
      'sweep ended',
    );
  }

  private async tell(type: 'sweep.started' | 'sweep.ended'): Promise<void> {
    const { redis, keys } = this.parts;
    const { id, trigger, complete, read, corrections: made } = this.record;
    await tellAll(
      redis,
      keys,
      type === 'sweep.started'
        ? { type, sweep: id, trigger }
        : { type, sweep: id, trigger, complete: complete === true, read, corrections: made },
    );
  }
}

function verify(clientId: string, sweep: string): MailboxItem {
  return encodeCommand({ clientId, command: { do: 'verify', reason: 'sweep', sweep } });
}

function sumOf({ online, updated, offline, reason, none }: Corrections): number {
  return online + updated + offline + reason + none;
}
