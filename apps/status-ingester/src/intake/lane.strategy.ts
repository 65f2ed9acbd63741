/**
 * The lanes as a custom transport of @nestjs/microservices: the application starts and stops it with its other servers.
 * A lane passes its packets to the mailbox writer directly, in batches. NestJS' pattern handlers would replace the writer's
 * errors, `StaleOwnerError` among them (ADR 0036).
 */
import { EventEmitter, once } from 'node:events';
import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { linkedAbort, type Logger } from '@app/platform';
import type { Grant } from '@app/sharding';
import {
  Lane,
  removeLaneSample,
  type LaneEvents,
  type LaneOptions,
  type LaneOwnership,
  type LanePurpose,
} from './lane.js';
import type { MailboxWriter } from './mailbox-writer.js';

export class LaneStrategy extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('lane');
  /** Name of the share group, a secret of the installation; set once the key space has been claimed. */
  group: string | undefined;
  private readonly lanes = new Map<number, Lane>();
  private readonly changes = new EventEmitter();
  /** Lanes with a higher index are surplus. */
  private laneCount = Infinity;

  constructor(
    private readonly options: Omit<LaneOptions, 'clientId'>,
    private readonly writer: Pick<MailboxWriter, 'write'>,
    private readonly events: LaneEvents,
    private readonly log: Logger,
  ) {
    super();
  }

  /** Connects nothing: a lane is opened when it is granted. */
  listen(callback: () => void): void {
    callback();
  }

  open(grant: Grant, ownership: LaneOwnership): void {
    this.start(grant, ownership, 0);
  }

  /** Retires the lanes of this process from index `count` on (S10), and makes retiring ones below it serve again. */
  setLaneCount(count: number): void {
    this.laneCount = count;
    for (const lane of this.lanes.values()) {
      if (lane.purpose === this.purposeOf(lane.grant)) continue;
      lane.stop().then(
        () => {
          if (this.lanes.get(lane.grant.index) !== lane) return;
          removeLaneSample(lane.grant.index);
          this.start(lane.grant, lane.ownership, lane.sequence);
        },
        (error: unknown) =>
          this.log.error({ err: error, lane: lane.grant.index }, 'could not stop a lane to change its purpose'),
      );
    }
  }

  private purposeOf(grant: Grant): LanePurpose {
    return grant.index < this.laneCount ? 'serve' : 'retire';
  }

  private start(grant: Grant, ownership: LaneOwnership, sequence: number): void {
    if (this.group === undefined)
      throw new Error('a lane was opened before the share group is known: claim the key space first');
    const prefix = `$share/${this.group}/`;
    const lane = new Lane(
      grant,
      this.purposeOf(grant),
      {
        ...this.options,
        filters: this.options.filters.map((filter) => prefix + filter),
        clientId: `${this.group}-lane-${grant.index}`,
      },
      this.writer,
      {
        ...this.events,
        connected: (connect) => {
          this.events.connected(connect);
          this.changes.emit('change');
        },
      },
      ownership,
      this.log,
      sequence,
    );
    this.lanes.set(grant.index, lane);
    lane.start();
  }

  /** Stops a lane that was lost. */
  async drop(grant: Grant): Promise<void> {
    const lane = this.lanes.get(grant.index);
    if (lane?.grant !== grant) return;
    this.lanes.delete(grant.index);
    this.changes.emit('change');
    lane.abandon();
    await lane.stop();
    // It may have been granted again already.
    if (!this.lanes.has(grant.index)) removeLaneSample(grant.index);
  }

  /** Resolves when all serving lanes of this process are connected. @throws Error after `waitMs`, or when aborted */
  async untilConnected(waitMs: number, signal: AbortSignal): Promise<void> {
    const timeout = new AbortController();
    const reason = new Error(`the lanes of this process are not connected after ${waitMs} ms: is the broker away?`);
    const timer = setTimeout(() => timeout.abort(reason), waitMs);
    const ended = linkedAbort(signal, timeout.signal);
    try {
      while (!this.serving.every(({ connected }) => connected))
        await once(this.changes, 'change', { signal: ended.signal });
    } catch (error) {
      ended.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      ended.unlink();
    }
  }

  /** The lanes of this process that are not retiring. */
  get serving(): readonly Lane[] {
    return [...this.lanes.values()].filter(({ purpose }) => purpose === 'serve');
  }

  /** Whether all lanes of this process are connected. */
  get connected(): boolean {
    return [...this.lanes.values()].every((lane) => lane.connected);
  }

  async close(): Promise<void> {
    await Promise.all([...this.lanes.values()].map((lane) => lane.stop()));
  }

  on(): never {
    throw new Error('the lane transport emits no events');
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the signature that NestJS declares
  unwrap<T = ReadonlyMap<number, Lane>>(): T {
    return this.lanes as T;
  }
}
