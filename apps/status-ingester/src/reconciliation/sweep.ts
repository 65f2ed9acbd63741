/**
 * One sweep: reads everything that the broker retains on status topics, passes on what differs from the registry, and requests
 * a verification of every online client that it did not see. Safe to repeat, whole or in part.
 *
 * - W1 It changes nothing itself: what it found goes through the mailboxes, in one order with live messages. The last ids of
 *   the mailboxes are noted before the broker is asked; live messages since then take precedence over what was read.
 * - W2 Absence proves nothing: a client that was not seen is verified, and an incomplete read only costs time.
 *   If the broker does have a message of such a client, although nothing was published for it since then, the broker left it out
 *   of each pass, and may have left out others: the sweep is incomplete.
 * - W3 A correction does not overtake live messages if one lane keeps their order (see `sweep-comparing.ts`).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerFacts } from '@app/broker';
import { backoffMs, type Logger } from '@app/platform';
import type { Corrections, IncompleteReason, SweepTrigger, Sweeps } from '@app/registry';
import type { Mailboxes } from '@app/sharding';
import { BackpressuredMailboxWriter } from './backpressured-mailbox-writer.js';
import { Comparing, type ComparingDependencies } from './sweep-comparing.js';
import { SweepCompletion, type Completion } from './sweep-completion.js';
import { SweepReading, type ReadingDependencies } from './sweep-reading.js';
import { SweepReport, type ReportDependencies } from './sweep-report.js';

/** A client with a live message since this long before a pass is verified singly: what the pass brings may be older. */
export const RECENT_LIVE_MS = 5000;
/** If no result comes for this long, the sweep ends: the to-dos of the shards verify the other clients. */
export const NO_PROGRESS_MS = 15_000;

export interface SweepDependencies
  extends ReadingDependencies, ReportDependencies, Omit<ComparingDependencies, 'severalTopics'> {
  mailboxes: Pick<Mailboxes, 'idBefore' | 'sendAll'>;
  /** What the last check of the broker has found. */
  facts: Pick<BrokerFacts, 'absenceProvable'>;
  sweeps: Sweeps;
  /** Id of the key space. If it changes, the key space was lost during the sweep. */
  keySpace: () => Promise<string>;
  logger: Logger;
}

/** The key space was lost while it was being swept. */
export class KeySpaceLostError extends Error {
  override readonly name = 'KeySpaceLostError';
}

export class Sweep {
  private readonly reading: SweepReading;
  private readonly report: SweepReport;
  private readonly comparing: Comparing;
  private noted: string[] = [];
  /** A sweep that is run again keeps its id, but gets new MQTT client ids and new counts of results. */
  private readonly runId = randomUUID();
  /** The results of clients that should have been seen are counted apart. */
  private readonly unseenId = randomUUID();

  constructor(
    private readonly dependencies: SweepDependencies,
    id: string,
    trigger: SweepTrigger,
    private readonly signal: AbortSignal,
  ) {
    this.reading = new SweepReading(
      dependencies,
      `ingester-sweep-${this.runId}`,
      signal,
      async (batch) => {
        await this.report.announce();
        return this.comparing.compare(batch, this.noted);
      },
      (clientId) => this.comparing.isAwaited(clientId),
    );
    this.report = new SweepReport(dependencies, id, trigger, () => this.reading.count);
    const severalTopics = dependencies.statusTopics.length > 1;
    const writer = new BackpressuredMailboxWriter(dependencies.mailboxes, signal);
    const { record } = this.report;
    const ids = { all: this.runId, unseen: this.unseenId };
    this.comparing = new Comparing({ ...dependencies, severalTopics }, record, ids, writer, signal);
  }

  /**
   * @returns whether the broker presumably sent everything, and whether a caller waits for the next sweep
   * @throws IncompleteReadError, KeySpaceLostError, or an error of Redis: the sweep has to be run again
   */
  async run(): Promise<{ complete: boolean; awaited: boolean }> {
    const { sweeps, keySpace } = this.dependencies;
    const { record } = this.report;
    try {
      const swept = await keySpace();
      await this.report.begin();
      const completion = await this.readAll();
      await this.comparing.verifyAwaited(this.reading);
      await this.comparing.verifyUnseen(this.reading);
      await this.awaitResults();
      const incomplete = completion.complete ? await this.reasonOfUnseen() : completion.reason;
      record.complete = incomplete === null;
      record.incompleteReason = incomplete;
      if ((await keySpace()) !== swept) throw new KeySpaceLostError('the key space was lost during the sweep');
      // An incomplete sweep proves nothing about unknown clients.
      if (record.complete) await sweeps.markSwept(record.startedAt);
      return { complete: record.complete, awaited: await this.report.end() };
    } catch (error) {
      this.report.failed();
      throw error;
    } finally {
      this.reading.close();
      this.report.close();
    }
  }

  private async readAll(): Promise<Completion> {
    const { id } = this.report.record;
    const completion = new SweepCompletion();
    for (let pass = 1; ; pass++) {
      this.noted = await this.positions();
      const outcome = await this.reading.pass();
      await this.report.announce();
      const result = completion.after(outcome);
      if (result?.complete === false) {
        const about = { sweep: id, passes: pass, read: this.reading.count, reason: result.reason };
        this.dependencies.logger.warn(about, 'a sweep could not read everything that the broker retains');
      }
      if (result !== undefined) return result;
    }
  }

  private async reasonOfUnseen(): Promise<IncompleteReason | null> {
    const { facts, sweeps, logger } = this.dependencies;
    // Then a reading that finds nothing has no result either.
    if (facts.absenceProvable === false) return null;
    const found = (await sweeps.corrections(this.unseenId)).none - this.comparing.countReturned(this.reading);
    if (found <= 0) return null;
    logger.warn(
      { sweep: this.report.record.id, clients: found },
      'no pass of a sweep brought the messages of these clients, although the broker retains them: does it limit its queues?',
    );
    return 'left-out';
  }

  private positions(): Promise<string[]> {
    const { mailboxes, shardCount } = this.dependencies;
    return Promise.all(Array.from({ length: shardCount }, (_, shard) => mailboxes.idBefore(shard, RECENT_LIVE_MS)));
  }

  private async awaitResults(): Promise<void> {
    const { record } = this.report;
    const { differing, unseen, id } = record;
    let progressAt = performance.now();
    for (let attempt = 0; ; attempt++) {
      const counts = await this.dependencies.sweeps.corrections(this.runId, this.unseenId);
      const sum = sumOf(counts);
      if (sum > sumOf(record.corrections)) {
        progressAt = performance.now();
        attempt = 0;
      }
      record.corrections = counts;
      const missing = differing + unseen - sum;
      if (missing <= 0) return;
      if (performance.now() - progressAt > NO_PROGRESS_MS) {
        this.dependencies.logger.warn(
          { sweep: id, missing },
          'a sweep ends before all results have come: the to-dos of the shards verify the other clients',
        );
        return;
      }
      await sleep(backoffMs(attempt, 20, 500), undefined, { signal: this.signal });
    }
  }
}

function sumOf({ online, updated, offline, reason, none }: Corrections): number {
  return online + updated + offline + reason + none;
}
