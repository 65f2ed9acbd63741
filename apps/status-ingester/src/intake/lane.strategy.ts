/**
 * The lanes as a transport of @nestjs/microservices: what they receive reaches the handler of the `intake` pattern
 * in batches, so that the frame costs once a batch and not once a message.
 */
import { EventEmitter, once } from 'node:events';
import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { lastValueFrom, type Observable } from 'rxjs';
import type { IntakePacket } from '@app/broker';
import { linkedAbort, type Logger } from '@app/platform';
import type { Grant } from '@app/sharding';
import { INTAKE, LaneContext, type StoreOutcome } from './intake.controller.js';
import { Lane, type LaneHandlers, type LaneOptions, type LaneOwnership, type LanePurpose } from './lane.js';

export class LaneStrategy extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('lane');
  /** The share group: its name is a secret of the installation, known once the key space has been read. */
  group: string | undefined;
  private readonly lanes = new Map<number, Lane>();
  private readonly changed = new EventEmitter();
  private wanted = Infinity;

  constructor(
    private readonly options: Omit<LaneOptions, 'clientId'>,
    private readonly handlers: Pick<LaneHandlers, 'connected' | 'retired'>,
    private readonly log: Logger,
  ) {
    super();
  }

  /** Nothing is received yet: lanes open as they are granted. Fails where nobody handles what they receive. */
  listen(callback: (error?: unknown) => void): void {
    callback(
      this.getHandlerByPattern(INTAKE) === null ? new Error(`no handler for the pattern "${INTAKE}"`) : undefined,
    );
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
      {
        ...this.handlers,
        store: (packets, ...context) => this.hand(packets, new LaneContext(context)),
        connected: (about) => {
          this.handlers.connected(about);
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

  private async hand(packets: readonly IntakePacket[], context: LaneContext): Promise<StoreOutcome> {
    const handler = this.getHandlerByPattern(INTAKE);
    if (handler === null) throw new Error(`no handler for the pattern "${INTAKE}"`);
    const result = (await handler(packets, context)) as Observable<StoreOutcome> | Promise<StoreOutcome>;
    return lastValueFrom(this.transformToObservable(result));
  }
}
