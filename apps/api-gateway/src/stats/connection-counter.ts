/** Stores how many connections there are, in each minute once for all gateways. */
import type { Logger, Redis } from '@app/platform';
import { storeConnectionCounts, type ConnectionDirectory, type RegistryKeys } from '@app/registry';

/** Twice a minute, so that a late timer misses none. */
const EVERY_MS = 30_000;

export class ConnectionCounter {
  private timer: NodeJS.Timeout | undefined;
  private storing: Promise<void> | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly directory: Pick<ConnectionDirectory, 'summary'>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer ??= setInterval(() => this.store(), EVERY_MS).unref();
    this.store();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.storing;
  }

  private store(): void {
    this.storing ??= this.count()
      .catch((error: unknown) =>
        this.logger.debug({ err: error }, 'connections could not be counted; next try in 30 seconds'),
      )
      .finally(() => (this.storing = undefined));
  }

  private async count(): Promise<void> {
    await storeConnectionCounts(this.redis, this.keys, await this.directory.summary());
  }
}
