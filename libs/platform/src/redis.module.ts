/**
 * In: `REDIS_URL`, and the connections that the app needs. Out: each connection under its token, and all of them as
 * `RedisConnections`. Invariants: each connection has one policy for outages of Redis; the start does not wait until it is
 * open; the app's lifecycle closes it, as late as possible.
 */
import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import type { Logger } from './logger.js';
import { closeRedis, connectRedis, type Redis, type RedisConnectionOptions } from './redis.js';
import { LOGGER, SETTINGS } from './tokens.js';

export interface NamedConnection extends RedisConnectionOptions {
  /** Injection token of the connection. */
  token: symbol;
}

/** All Redis connections of the app. */
export class RedisConnections {
  constructor(private readonly connections: readonly Redis[]) {}

  /** Closes all connections with QUIT; those without a reply within a second are ended at once. */
  async close(): Promise<void> {
    await Promise.all(this.connections.map((connection) => closeRedis(connection)));
  }

  /** Ends all connections at once; pending commands fail. */
  disconnect(): void {
    for (const connection of this.connections) connection.disconnect();
  }
}

@Module({})
export class RedisModule {
  static connect(connections: readonly NamedConnection[]): DynamicModule {
    const tokens = connections.map(({ token }) => token);
    const providers: Provider[] = connections.map(({ token, ...options }) => ({
      provide: token,
      inject: [SETTINGS, LOGGER],
      useFactory: ({ REDIS_URL }: { REDIS_URL: string }, logger: Logger) => connectRedis(REDIS_URL, options, logger),
    }));
    providers.push({
      provide: RedisConnections,
      inject: tokens,
      useFactory: (...opened: Redis[]) => new RedisConnections(opened),
    });
    return { module: RedisModule, global: true, providers, exports: [...tokens, RedisConnections] };
  }
}
