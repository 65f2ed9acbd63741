/**
 * In: `REDIS_URL`, and the connections that the app needs. Out: each connection under its token, and all of them as
 * `RedisConnections`. Invariants: a connection has one policy for a Redis that is away, and opens without being waited
 * for; the app's lifecycle closes it, as late as possible.
 */
import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import type { Logger } from './logger.js';
import { closeRedis, connectRedis, type Redis, type RedisConnectionOptions } from './redis.js';
import { LOGGER, SETTINGS } from './tokens.js';

export interface NamedConnection extends RedisConnectionOptions {
  /** What it is injected by. */
  token: symbol;
}

/** Every connection to Redis of the app. */
export class RedisConnections {
  constructor(private readonly connections: readonly Redis[]) {}

  /** Closes each in order (QUIT); one that Redis does not answer within a second is cut. */
  async close(): Promise<void> {
    await Promise.all(this.connections.map((connection) => closeRedis(connection)));
  }

  /** Cuts each at once; commands under way fail. */
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
