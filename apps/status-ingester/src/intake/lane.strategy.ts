/**
 * The lanes as a custom transport of @nestjs/microservices: the application starts and stops it with its other servers.
 * What a lane receives goes to the mailbox writer in batches, not through pattern handlers: their frame would replace
 * the writer's errors, `StaleOwnerError` among them (ADR 0036).
 */
import { EventEmitter, once } from 'node:events';
import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { linkedAbort, type Logger } from '@app/platform';
import type { Grant } from '@app/sharding';
import { Lane, type LaneEvents, type LaneOptions, type LaneOwnership, type LanePurpose } from './lane.js';
import type { MailboxWriter } from './mailbox-writer.js';

export class LaneStrategy extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('lane');
  /** The share group: its name is a secret of the installation, known once the key space has been read. */
  group: string | undefined;
  private readonly lanes = new Map<number, Lane>();
  private readonly changed = new EventEmitter();
  private wanted = Infinity;

  constructor(
    private readonly options: Omit<LaneOptions, 'clientId'>,
    private readonly writer: Pick<MailboxWriter, 'write'>,
    private readonly events: LaneEvents,
    private readonly log: Logger,
  ) {
    super();
  }

  /** Nothing is received yet: lanes open as they are granted. */
  listen(callback: () => void): void {
    callback();
  }

  open(grant: Grant, ownership: LaneOwnership): void {
    this.start(grant, ownership, 0);
  }

  /** Lanes from this index on are wanted no more (S10): those held here are drained and ended, or serve again. */
  want(count: number): void {
    this.wanted = count;
    for (const lane of this.lanes.values()) {
      if (lane.purpose === this.purposeOf(lane.grant)) continue;
      lane.stop().then(
        () => {
          if (this.lanes.get(lane.grant.index) !== lane) return;
          this.start(lane.grant, lane.ownership, lane.sequence);
        },
        (error: unknown) => this.log.error({ err: error, lane: lane.grant.index }, 'could not stop a lane'),
      );
    }
  }

  private purposeOf(grant: Grant): LanePurpose {
    return grant.index < this.wanted ? 'serve' : 'retire';
  }

  private start(grant: Grant, ownership: LaneOwnership, sequence: number): void {
    if (this.group === undefined) throw new Error('a lane was granted before the share group was known');
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
        connected: (about) => {
          this.events.connected(about);
          this.changed.emit('change');
        },
      },
      ownership,
      this.log,
      sequence,
    );
    this.lanes.set(grant.index, lane);
    lane.start();
  }

  /** Gives a lane up. */
  async drop(grant: Grant): Promise<void> {
    const lane = this.lanes.get(grant.index);
    if (lane?.grant !== grant) return;
    this.lanes.delete(grant.index);
    this.changed.emit('change');
    lane.abandon();
    await lane.stop();
  }

  /** Resolves when the lanes held here that are to receive, if any, are connected. @throws Error after so long, or if it is aborted */
  async untilConnected(waitMs: number, signal: AbortSignal): Promise<void> {
    const late = new AbortController();
    const reason = new Error(`the lanes held here are not connected after ${waitMs} ms`);
    const timer = setTimeout(() => late.abort(reason), waitMs);
    const over = linkedAbort(signal, late.signal);
    try {
      while (!this.serving.every(({ connected }) => connected))
        await once(this.changed, 'change', { signal: over.signal });
    } catch (error) {
      over.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      over.unlink();
    }
  }

  /** The lanes held here that are to receive. */
  get serving(): readonly Lane[] {
    return [...this.lanes.values()].filter(({ purpose }) => purpose === 'serve');
  }

  /** Whether all lanes held here, if any, are connected. */
  get connected(): boolean {
    return [...this.lanes.values()].every((lane) => lane.connected);
  }

  async close(): Promise<void> {
    await Promise.all([...this.lanes.values()].map((lane) => lane.stop()));
  }

  on(): never {
    throw new Error('lanes emit no events of their own');
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the signature of the frame
  unwrap<T = ReadonlyMap<number, Lane>>(): T {
    return this.lanes as T;
  }
}
