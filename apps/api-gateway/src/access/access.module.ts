/**
 * In: a request's credentials, address and port. Out: its caller, or a refusal before a byte of its body is read.
 * Invariants: a route that declares no access ends the start; no stream outlives the credentials that opened it.
 */
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type Logger, type Redis } from '@app/platform';
import { RegistryKeys, RegistryModule } from '@app/registry';
import { limitsOf, type AccessSettings } from './access.settings.js';
import { Authenticator } from './authenticator.js';
import { Doors } from './doors.js';
import { OpenStreams } from './open-streams.js';
import { RequestLimits } from './request-limits.js';
import { GUARDS, type Guards } from './route-guard.js';

@Module({
  imports: [RegistryModule],
  providers: [
    {
      provide: Doors,
      inject: [SETTINGS, LOGGER],
      useFactory: (settings: AccessSettings, logger: Logger) => new Doors(settings, logger),
    },
    {
      provide: RequestLimits,
      inject: [SETTINGS, REDIS, RegistryKeys],
      useFactory: (settings: AccessSettings, redis: Redis, keys: RegistryKeys) =>
        new RequestLimits(redis, keys.requestLimits, limitsOf(settings)),
    },
    {
      provide: GUARDS,
      inject: [SETTINGS, LOGGER, RequestLimits, Doors],
      useFactory: (settings: AccessSettings, logger: Logger, limits: RequestLimits, doors: Doors): Guards => ({
        authenticator: Authenticator.of(settings, logger),
        limits,
        doors,
      }),
    },
    {
      provide: OpenStreams,
      inject: [SETTINGS, GUARDS],
      useFactory: ({ EVENT_STREAMS_PER_KEY }: AccessSettings, { authenticator }: Guards) =>
        authenticator === undefined
          ? new OpenStreams(Infinity, () => true)
          : new OpenStreams(EVENT_STREAMS_PER_KEY, (caller) => authenticator.isCurrent(caller)),
    },
  ],
  exports: [Doors, GUARDS, OpenStreams, RequestLimits],
})
export class AccessModule {}
