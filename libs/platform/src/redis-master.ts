/** How a connection finds the master that Sentinels know by name. */
import { SentinelConnector, type Redis, type RedisOptions } from 'ioredis';
import type { Logger } from './logger.js';
import type { RedisHost } from './redis-url.js';
import { Sampled } from './sampled.js';

type Connector = NonNullable<RedisOptions['Connector']>;

/** What the types of ioredis hide: it opens each connection to a Sentinel. */
interface SentinelOpener {
  connectToSentinel(sentinel: RedisHost, options?: RedisOptions): Redis;
}

/** Each connection asks a Sentinel that is away every few seconds. */
const WARN_EVERY_MS = 60_000;

/** @param name of the connection */
export function masterConnector(name: string, logger: Logger): Connector {
  const warnings = new Sampled(WARN_EVERY_MS);
  const warnOf = ({ host, port }: RedisHost) => {
    return (error: Error): void => {
      warnings.take((skipped) => {
        logger.warn({ redis: name, sentinel: `${host}:${port}`, err: error, skipped }, 'sentinel connection error');
      });
    };
  };

  /**
   * Asks the Sentinels again for each connection, and ends their subscriptions first: a failover reported to one that
   * belongs to the connection before would end, for good, the attempt that already looks for the new master.
   */
  class MasterConnector extends SentinelConnector {
    constructor(...args: ConstructorParameters<typeof SentinelConnector>) {
      super(...args);
      const opener = this as unknown as SentinelOpener;
      const open = opener.connectToSentinel.bind(this);
      // Without a listener of its own, ioredis would print each error as raw text.
      opener.connectToSentinel = (sentinel, options) => open(sentinel, options).on('error', warnOf(sentinel));
    }

    override connect(emit: Parameters<SentinelConnector['connect']>[0]): ReturnType<SentinelConnector['connect']> {
      this.disconnect();
      return super.connect(emit);
    }
  }
  return MasterConnector as Connector;
}
