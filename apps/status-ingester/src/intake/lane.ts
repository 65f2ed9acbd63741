/**
 * A lane while this process owns it: keeps a connection of the lane's session open, and connects again after a back-off. It
 * ends when the lane is handed over, or has another owner (S10).
 */
import { IntakeConnection, type BrokerGate, type IntakeEnd, type IntakeOptions, type IntakePacket } from '@app/broker';
import type { TopicTemplate } from '@app/protocol';
import { Backoff, backoffMs, counter, gauge, type Logger, OPEN, pause, retry, sharedAbort } from '@app/platform';
import { StaleOwnerError, type Grant, type Ownership } from '@app/sharding';
import { LaneActivity } from './lane-activity.js';
import type { LaneConnect } from './lane-connections.js';
import { isSweepDue } from './lane-pauses.js';
import { LaneProgress } from './lane-progress.js';
import type { MailboxWriter } from './mailbox-writer.js';
import { NO_FAILED_RESUMES, afterCleanStart, afterEnd, mustStartClean } from './session-resumes.js';

/** `retire`: the lane is surplus, so its session is drained and ended (S10). */
export type LanePurpose = 'serve' | 'retire';

export type LaneOwnership = Pick<Ownership, 'confirm' | 'lost'>;

export interface LaneOptions extends IntakeOptions {
  /** Templates of the topics on which clients publish. */
  templates: readonly TopicTemplate[];
  /** Is asked before each connect: a broker that lacks something would make the service refuse healthy clients. */
  gate: Pick<BrokerGate, 'pass' | 'connectionLost'>;
}

export interface LaneEvents {
  /** The lane is connected and subscribed. */
  connected(connect: LaneConnect): void;
  /** The broker began a new session, and counts packet ids from the start. No packet of it is stored before this resolves. */
  sessionBegun(lane: Grant): Promise<void>;
  /** The broker has no session of the lane any more. */
  retired(lane: Grant): Promise<void>;
}

const connectedGauge = gauge(
  'lane_connected',
  'Whether a lane of this process is connected to the broker (1) or not (0).',
  ['lane'],
);
/** To be called when a lane is served here no longer: another process shows it then. */
export function removeLaneSample(lane: number): void {
  connectedGauge.remove({ lane });
}

const lostSessions = counter(
  'lane_sessions_lost',
  'Connects of a lane at which the broker no longer had its session.',
  { lane: OPEN },
);

const stalls = counter('lane_stalls', 'Times a lane was connected again, and the broker had delivered nothing to it.', {
  lane: OPEN,
});
const checks = counter('lane_checks', 'Times a quiet lane was connected again to see whether messages wait for it.', {
  lane: OPEN,
});

const cleanStarts = counter(
  'lane_clean_starts',
  'Sessions of a lane that were given up because the broker could not resume them.',
  { lane: OPEN },
);

export class Lane {
  readonly activity: LaneActivity;
  private readonly progress: LaneProgress;
  private connection: IntakeConnection | undefined;
  private readonly stopping = sharedAbort();
  private readonly storing = sharedAbort();
  private readonly backoff = new Backoff(100, 1000, 10_000);
  private running: Promise<void> | undefined;
  private isConnected = false;
  private wasConnected = false;
  private resumes = NO_FAILED_RESUMES;
  /** Resolves when nothing of a former session is taken for a packet of the present one. */
  private sessionReady: Promise<void> = Promise.resolve();
  /** Set if the lane watch closed the present connection. */
  private stall: { hasProgressed: boolean } | undefined;
  /** Set if the lane watch closed the present connection for a check: the filters by which nothing came. */
  private check: readonly TopicTemplate[] | undefined;

  constructor(
    readonly grant: Grant,
    readonly purpose: LanePurpose,
    private readonly options: LaneOptions,
    private readonly writer: Pick<MailboxWriter, 'write'>,
    private readonly events: LaneEvents,
    readonly ownership: LaneOwnership,
    private readonly logger: Logger,
    /** Sequence number of the last batch under this grant. */
    public sequence = 0,
  ) {
    lostSessions.inc({ lane: grant.index }, 0);
    for (const metric of [cleanStarts, stalls, checks]) metric.inc({ lane: grant.index }, 0);
    this.activity = new LaneActivity(options.templates);
    this.progress = new LaneProgress(options.window);
  }

  private stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  private isChecking(): boolean {
    return this.check !== undefined;
  }

  /** Whether the lane is connected, or retired. */
  get connected(): boolean {
    return this.isConnected;
  }

  start(): void {
    this.running ??= this.run();
  }

  /** Stores and acknowledges the current batch, then disconnects; the session stays at the broker for the next owner. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.connection?.close();
    await this.running;
  }

  /** Closes the connection, because the broker delivers nothing by a filter, and opens another one. */
  reconnect(silent: TopicTemplate): void {
    stalls.inc({ lane: this.grant.index });
    this.stall = { hasProgressed: this.activity.hasReceived(silent) };
    this.closeConnection();
  }

  /** Opens another connection, to see whether the broker has messages for these filters that it did not deliver. */
  checkQuiet(quiet: readonly TopicTemplate[]): void {
    if (!this.isConnected) return;
    checks.inc({ lane: this.grant.index });
    this.check = quiet;
    this.closeConnection();
  }

  private closeConnection(): void {
    this.activity.disconnected();
    this.connection?.close().catch((error: unknown) => {
      this.logger.error({ err: error, lane: this.grant.index }, 'could not close the connection of a lane');
    });
  }

  /** Aborts the batch that is being stored, so that `stop` resolves soon. */
  abandon(): void {
    this.storing.abort();
  }

  private async run(): Promise<void> {
    const about = { lane: this.grant.index, epoch: this.grant.epoch };
    while (!this.stopped()) {
      if (!(await this.options.gate.pass(this.stopping.signal))) return;
      // Ask for the ownership last: it may be lost while the broker is away.
      if (!(await this.mayConnect()) || this.stopped()) return;
      const cleanStart = mustStartClean(this.resumes, performance.now());
      const options = { ...this.options, cleanStart };
      this.progress.connecting();
      const connection = new IntakeConnection(options, (packets) => this.onBatch(packets), this.logger);
      this.connection = connection;
      const { check } = this;
      this.stall = this.check = undefined;
      void connection.accepted.then(() => {
        if (cleanStart) this.noteCleanStart();
        if (connection.sessionPresent === false) this.beginSession();
      });
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
        const isIdle = check !== undefined && sessionPresent && (await this.isIdle(check));
        this.events.connected({ sessionPresent, isReconnect: this.wasConnected, isIdle });
        this.wasConnected = true;
      } catch (error) {
        if (!this.stopped()) {
          this.logger.warn({ ...about, err: error }, 'lane could not connect');
          await connection.close();
        }
      }
      const how = await connection.ended;
      this.setConnected(false);
      this.noteEnd(connection, how);
      if (how === 'lost') this.options.gate.connectionLost();
      if (how === 'taken-over') this.logger.warn(about, 'another connection took over the session of a lane');
      if (this.stopped()) return;
      if (how !== 'closed') this.check = undefined;
      if (this.isChecking()) continue;
      const waitMs = this.backoff.failed();
      this.logger.warn({ ...about, wait_ms: waitMs }, 'lane disconnected; connecting again');
      await pause(waitMs, this.stopping.signal);
    }
  }

  /** Whether the lane was checked, nothing had waited for it, and no sweep is to follow. */
  private async isIdle(quiet: readonly TopicTemplate[]): Promise<boolean> {
    if (await this.foundWaiting(quiet)) return false;
    const checks = this.activity.mostChecks(quiet);
    if (!isSweepDue(checks)) return true;
    this.logger.info(
      { lane: this.grant.index, epoch: this.grant.epoch, checks },
      'nothing has waited for the lane at any of these checks: it is idle, or the broker delivers nothing to its session; a sweep ' +
        'corrects what it may have lost',
    );
    return false;
  }

  /** Whether messages came before the broker answered the subscription: they had waited, so that the lane was stalled. */
  private async foundWaiting(quiet: readonly TopicTemplate[]): Promise<boolean> {
    // A batch that begins before the SUBACK is passed on in this turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    const stalled = quiet.filter((template) => this.activity.hasReceived(template));
    if (stalled.length === 0) return false;
    const { index: lane, epoch } = this.grant;
    stalls.inc({ lane });
    this.logger.warn(
      { lane, epoch, filters: stalled.map(({ filter }) => filter) },
      'messages had waited for a lane that received nothing: the broker had stalled it; a sweep follows',
    );
    return true;
  }

  private beginSession(): void {
    // One that is still tried must not end later: it would forget deliveries of the newer session.
    const former = this.sessionReady;
    const begin = (): Promise<void> => former.then(() => this.events.sessionBegun(this.grant));
    this.sessionReady = retry(begin, {
      backoff: (failures) => backoffMs(failures, 20, 1000),
      signal: this.storing.signal,
      onRetry: (error, waitMs) =>
        this.logger.warn(
          { lane: this.grant.index, err: error, wait_ms: waitMs },
          'could not forget the deliveries of the former session of a lane; trying again',
        ),
    });
  }

  /** The broker has ended the old session. */
  private noteCleanStart(): void {
    const { index: lane, epoch } = this.grant;
    cleanStarts.inc({ lane });
    this.logger.warn(
      { lane, epoch, failed_resumes: this.resumes.count },
      'the broker could not resume the session of the lane, so it was given up: messages that waited in it are lost; ' +
        'a sweep follows and corrects connections, but a message-error among them does not come again',
    );
    this.resumes = afterCleanStart(this.resumes);
  }

  private noteEnd(connection: IntakeConnection, how: IntakeEnd): void {
    const { sessionPresent, acceptedAt } = connection;
    const now = performance.now();
    const { stall } = this;
    this.resumes = afterEnd(
      this.resumes,
      {
        how: how === 'closed' && stall !== undefined ? 'stalled' : how,
        sessionPresent,
        hasProgressed: stall?.hasProgressed ?? this.progress.hasProgressed,
        openMs: now - acceptedAt,
      },
      now,
    );
  }

  private async retire(connection: IntakeConnection): Promise<void> {
    await connection.retire();
    // Its session may have been given up or lost, and messages with it.
    this.events.connected({
      sessionPresent: connection.sessionPresent === true,
      isReconnect: this.wasConnected,
      isIdle: false,
    });
    await this.events.retired(this.grant);
    this.isConnected = true;
    this.logger.info({ lane: this.grant.index, epoch: this.grant.epoch }, 'surplus lane drained and its session ended');
  }

  /** Asks first: a former owner that connects with the lane's client id would disconnect the present owner (S10). */
  private async mayConnect(): Promise<boolean> {
    const isOurs = await retry(() => this.ownership.confirm(this.grant), {
      backoff: () => this.backoff.failed(),
      signal: this.stopping.signal,
      onRetry: (error, waitMs) =>
        this.logger.warn(
          { lane: this.grant.index, err: error, wait_ms: waitMs },
          'could not read who owns the lane; trying again',
        ),
    });
    return isOurs ?? false;
  }

  /** If it rejects, the connection is closed and no packet of the batch is acknowledged. */
  private async onBatch(packets: readonly IntakePacket[]): Promise<void> {
    this.activity.batchReceived(packets, performance.now());
    try {
      await this.sessionReady;
      // If it was aborted, deliveries of the former session may still be remembered.
      this.storing.signal.throwIfAborted();
      await this.writer.write(packets, this.grant, ++this.sequence, this.storing.signal);
      this.progress.stored(packets);
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

  private setConnected(isConnected: boolean): void {
    this.isConnected = isConnected;
    if (isConnected) this.activity.connected(performance.now());
    else this.activity.disconnected();
    if (this.purpose === 'serve') connectedGauge.set({ lane: this.grant.index }, isConnected ? 1 : 0);
  }
}
