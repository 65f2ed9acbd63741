/** How a connection finds the master that the Sentinels know by name. */
import { SentinelConnector, type Redis, type RedisOptions } from 'ioredis';
import type { Logger } from './logger.js';
import type { RedisHost } from './redis-url.js';
import { Sampled } from './sampled.js';

type Connector = NonNullable<RedisOptions['Connector']>;

/** Members that the types of ioredis hide. */
interface SentinelInternals {
  /** Opens a connection to a Sentinel. */
  connectToSentinel(sentinel: RedisHost, options?: RedisOptions): Redis;
  /** Subscribes to failovers. Called when the connection to the master is open. */
  initFailoverDetector(): Promise<void>;
}

/** Each connection retries a Sentinel that cannot be reached every few seconds. */
const WARN_EVERY_MS = 60_000;

/** @param name of the connection */
export function masterConnector(name: string, logger: Logger): Connector {
  const warnings = new Sampled(WARN_EVERY_MS);
  const warnAbout = ({ host, port }: RedisHost) => {
    return (error: Error): void => {
      warnings.take((skipped) => {
        logger.warn({ redis: name, sentinel: `${host}:${port}`, err: error, skipped }, 'sentinel connection error');
      });
    };
  };

  /**
   * Asks the Sentinels for the master's address before each connection attempt. It ends the subscriptions to failovers
   * first: a late event from them would abort the new attempt for good. A connection that was ended does not subscribe:
   * nothing would end its subscriptions.
   */
  class MasterConnector extends SentinelConnector {
    constructor(...args: ConstructorParameters<typeof SentinelConnector>) {
      super(...args);
      const internals = this as unknown as SentinelInternals;
      const open = internals.connectToSentinel.bind(this);
      // Without a listener ioredis prints each error as raw text.
      internals.connectToSentinel = (sentinel, options) => open(sentinel, options).on('error', warnAbout(sentinel));
      const subscribe = internals.initFailoverDetector.bind(this);
      internals.initFailoverDetector = async () => {
        // False after `disconnect`, also if the socket connects after that.
        if (this.connecting) await subscribe();
      };
    }

    override connect(emit: Parameters<SentinelConnector['connect']>[0]): ReturnType<SentinelConnector['connect']> {
      this.disconnect();
      return super.connect(emit);
    }
  }
  return MasterConnector as Connector;
}
