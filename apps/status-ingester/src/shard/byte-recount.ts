/**
 * Every hour, recounts the bytes of unfinished messages of each owned shard, and finds connections with held messages that are not
 * listed as such: gateways and dispatchers of an older release do not list them.
 */
import type { Logger, Redis } from '@app/platform';
import { findHeldConnections, recountBytes, type RegistryKeys } from '@app/registry';
import { StaleOwnerError, type Ownership } from '@app/sharding';

const RECOUNT_EVERY_MS = 3_600_000;

export class ByteRecount {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly ownership: Pick<Ownership, 'grants' | 'lost'>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer = setInterval(() => {
      this.round ??= this.recount().finally(() => (this.round = undefined));
    }, RECOUNT_EVERY_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.round;
  }

  /** One shard at a time: a recount blocks Redis for some milliseconds. */
  async recount(): Promise<void> {
    for (const grant of this.ownership.grants().filter(({ kind }) => kind === 'shard')) {
      try {
        const done = await recountBytes(this.redis, this.keys, grant);
        if (!done)
          this.logger.debug({ shard: grant.index }, 'bytes not recounted: the shard has too many unfinished messages');
        await findHeldConnections(this.redis, this.keys, grant);
      } catch (error) {
        if (error instanceof StaleOwnerError) this.ownership.lost(grant);
        else
          this.logger.warn(
            { err: error, shard: grant.index },
            'could not recount the bytes of unfinished messages; next try in an hour',
          );
      }
    }
  }
}
