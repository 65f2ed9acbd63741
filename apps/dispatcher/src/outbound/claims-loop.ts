/** Reads the streams of claims of all active shards together, with one blocking command on a single Redis. */
import { Backoff, pause, sharedAbort, type Logger } from '@app/platform';
import type { ClaimEntry } from '@app/registry';
import type { StreamReader } from '@app/sharding';
import type { OutboundShards } from './outbound-shards.js';

export class ClaimsLoop {
  private readonly stopping = sharedAbort();
  private readonly backoff = new Backoff(50, 1000, 5000);
  private running: Promise<void> = Promise.resolve();
  private activated: () => void = () => undefined;

  constructor(
    private readonly reader: StreamReader<ClaimEntry>,
    private readonly shards: Pick<OutboundShards, 'positions' | 'receive' | 'onActivated'>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.shards.onActivated(() => {
      this.activated();
      this.reader.interrupt();
    });
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.activated();
    this.reader.interrupt();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const positions = this.shards.positions();
      if (positions.size === 0) {
        await new Promise<void>((resolve) => (this.activated = resolve));
        continue;
      }
      try {
        await this.reader.read(positions, (shard, entries) => this.shards.receive(shard, entries));
        this.backoff.succeeded();
      } catch (error) {
        const waitMs = this.backoff.failed();
        this.logger.warn({ err: error, wait_ms: waitMs }, 'reading claims failed; trying again');
        await pause(waitMs, this.stopping.signal);
      }
    }
  }
}
