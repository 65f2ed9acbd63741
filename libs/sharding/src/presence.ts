/** Shows that a process is there, to those who list the members of its group: sends heartbeats until it stops. */
import type { Logger } from '@app/platform';
import type { Members } from './members.js';
import { ReconcileLoop } from './reconcile-loop.js';

/** Interval of heartbeats. */
const HEARTBEAT_MS = 2000;
/** A process that has sent none for so long is gone. */
export const PRESENCE_TTL_MS = 3 * HEARTBEAT_MS;

export class Presence<About> {
  private readonly loop: ReconcileLoop;

  constructor(
    private readonly members: Pick<Members<About>, 'heartbeat' | 'leave'>,
    about: About,
    private readonly logger: Logger,
  ) {
    this.loop = new ReconcileLoop(async () => {
      await members.heartbeat(about);
      return HEARTBEAT_MS;
    }, logger);
  }

  start(): void {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
    await this.members.leave().catch((error: unknown) => {
      this.logger.warn({ err: error }, 'could not leave; others notice when the heartbeat is overdue');
    });
  }
}
