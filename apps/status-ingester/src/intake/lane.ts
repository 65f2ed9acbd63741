/**
 * A lane while this process holds it: keeps one connection of the lane's session open, with back-off between them.
 * It ends when the lane is given back, or is found to be another's (S10).
 */
import { IntakeConnection, type IntakeOptions, type IntakePacket } from '@app/broker';
import type { TopicTemplate } from '@app/protocol';
import { Backoff, counter, gauge, type Logger, OPEN, pause, sharedAbort } from '@app/platform';
import { StaleOwnerError, type Grant, type Ownership } from '@app/sharding';
import { LaneActivity } from './lane-activity.js';
import type { MailboxWriter } from './mailbox-writer.js';

/** `retire`: nobody wants the lane any more, so its session is drained and ended (S10). */
export type LanePurpose = 'serve' | 'retire';

export type LaneOwnership = Pick<Ownership, 'confirm' | 'lost'>;

export interface LaneOptions extends IntakeOptions {
  /** Of the topics that clients publish on. */
  templates: readonly TopicTemplate[];
}

export interface LaneEvents {
  /** It has subscribed. `again`: after it had lost the broker, under the same grant. */
  connected(about: { sessionPresent: boolean; again: boolean }): void;
  /** The lane's session is gone from the broker. */
  retired(lane: number): Promise<void>;
}

const connected = gauge('lane_connected', 'Whether the lane is connected to the broker (1) or not (0).', ['lane']);
const lostSessions = counter(
  'lane_sessions_lost',
  'Connects of a lane at which the broker no longer had its session.',
  { lane: OPEN },
);

export class Lane {
  readonly activity: LaneActivity;
  private connection: IntakeConnection | undefined;
  private readonly stopping = sharedAbort();
  private readonly storing = sharedAbort();
  private readonly backoff = new Backoff(100, 1000, 10_000);
  private work: Promise<void> | undefined;
  private up = false;
  private served = false;

  constructor(
    readonly grant: Grant,
    readonly purpose: LanePurpose,
    private readonly options: LaneOptions,
    private readonly writer: Pick<MailboxWriter, 'write'>,
    private readonly events: LaneEvents,
    readonly ownership: LaneOwnership,
    private readonly logger: Logger,
    /** Of the last batch that was stored under this grant. */
    public sequence = 0,
  ) {
    lostSessions.inc({ lane: grant.index }, 0);
    this.activity = new LaneActivity(options.templates);
  }

  private stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Whether it serves, or has nothing more to do. */
  get connected(): boolean {
    return this.up;
  }

  start(): void {
    this.work ??= this.run();
  }

  /** Stores and acknowledges what is in hand, then disconnects; the session stays at the broker for the next owner. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.connection?.close();
    await this.work;
  }

  /** Closes the connection, and opens another one of the same session. */
  reconnect(): void {
    this.activity.disconnected();
    this.connection?.close().catch((error: unknown) => {
      this.logger.error({ err: error, lane: this.grant.index }, 'could not close the connection of a lane');
    });
  }

  /** Ends at once what cannot be finished, so that `stop` resolves. */
  abandon(): void {
    this.storing.abort();
  }

  private async run(): Promise<void> {
    const about = { lane: this.grant.index, epoch: this.grant.epoch };
    while (!this.stopped()) {
      if (!(await this.mayConnect()) || this.stopped()) return;
      const connection = new IntakeConnection(this.options, (packets) => this.onBatch(packets), this.logger);
      this.connection = connection;
      try {
        if (this.purpose === 'retire') {
          await this.retire(connection);
          return;
        }
        const { sessionPresent } = await connection.ready();
        this.setConnected(true);
        this.backoff.succeeded();
        if (!sessionPresent) lostSessions.inc({ lane: this.grant.index });
        this.logger.info({ ...about, session_present: sessionPresent }, 'lane connected');
        this.events.connected({ sessionPresent, again: this.served });
        this.served = true;
      } catch (error) {
        if (!this.stopped()) {
          this.logger.warn({ ...about, err: error }, 'lane could not connect');
          await connection.close();
        }
      }
      const how = await connection.ended;
      this.setConnected(false);
      if (how === 'taken-over') this.logger.warn(about, 'session taken over by another connection');
      if (this.stopped()) return;
      const waitMs = this.backoff.failed();
      this.logger.warn({ ...about, wait_ms: waitMs }, 'lane disconnected; connecting again');
      await pause(waitMs, this.stopping.signal);
    }
  }

  private async retire(connection: IntakeConnection): Promise<void> {
    await connection.retire();
    await this.events.retired(this.grant.index);
    this.up = true;
    this.logger.info({ lane: this.grant.index, epoch: this.grant.epoch }, 'surplus lane drained and its session ended');
  }

  /** A zombie that connected with the lane's client id would throw the rightful owner out (S10). */
  private async mayConnect(): Promise<boolean> {
    while (!this.stopped()) {
      try {
        return await this.ownership.confirm(this.grant);
      } catch (error) {
        const waitMs = this.backoff.failed();
        this.logger.warn({ lane: this.grant.index, err: error, wait_ms: waitMs }, 'could not ask who holds the lane');
        await pause(waitMs, this.stopping.signal);
      }
    }
    return false;
  }

  /** A rejection ends the connection, and nothing of the batch is acknowledged. */
  private async onBatch(packets: readonly IntakePacket[]): Promise<void> {
    this.activity.batchReceived(packets, performance.now());
    try {
      await this.writer.write(packets, this.grant, ++this.sequence, this.storing.signal);
    } catch (error) {
      if (error instanceof StaleOwnerError) {
        this.stopping.abort();
        this.ownership.lost(this.grant);
      }
      throw error;
    } finally {
      this.activity.batchEnded();
    }
  }

  private setConnected(up: boolean): void {
    this.up = up;
    if (up) this.activity.connected(performance.now());
    else this.activity.disconnected();
    connected.set({ lane: this.grant.index }, up ? 1 : 0);
  }
}
