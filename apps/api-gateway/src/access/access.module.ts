/**
 * In: the credentials, address and port of a request. Out: its caller, or a refusal before a byte of its body is read.
 * Invariants: the gateway does not start with a route that declares no access; no stream and no wait outlives the credentials
 * that opened it.
 */
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type Logger, type Redis } from '@app/platform';
import { RegistryKeys, RegistryModule } from '@app/registry';
import { limitsOf, type AccessSettings } from './access.settings.js';
import { Authenticator } from './authenticator.js';
import { CredentialsWatch } from './credentials-watch.js';
import { ListenerPolicy } from './listener-policy.js';
import { StreamQuota } from './stream-quota.js';
import { RequestLimits } from './request-limits.js';
import { GUARDS, type Guards } from './route-guard.js';
import { WhoamiController } from './whoami.controller.js';

@Module({
  imports: [RegistryModule],
  controllers: [WhoamiController],
  providers: [
    {
      provide: ListenerPolicy,
      inject: [SETTINGS],
      useFactory: (settings: AccessSettings) => new ListenerPolicy(settings),
    },
    {
      provide: RequestLimits,
      inject: [SETTINGS, REDIS, RegistryKeys, LOGGER],
      useFactory: (settings: AccessSettings, redis: Redis, keys: RegistryKeys, logger: Logger) =>
        new RequestLimits(redis, keys.requestLimits, limitsOf(settings), logger),
    },
    {
      provide: GUARDS,
      inject: [SETTINGS, LOGGER, RequestLimits, ListenerPolicy],
      useFactory: (
        settings: AccessSettings,
        logger: Logger,
        limits: RequestLimits,
        listeners: ListenerPolicy,
      ): Guards => ({
        authenticator: Authenticator.of(settings, logger),
        limits,
        listeners,
      }),
    },
    {
      provide: CredentialsWatch,
      inject: [GUARDS],
      useFactory: ({ authenticator }: Guards) =>
        new CredentialsWatch((caller) => authenticator === undefined || authenticator.isCurrent(caller)),
    },
    {
      provide: StreamQuota,
      inject: [SETTINGS, GUARDS, CredentialsWatch],
      useFactory: (
        { EVENT_STREAMS_PER_KEY }: AccessSettings,
        { authenticator }: Guards,
        credentials: CredentialsWatch,
      ) => new StreamQuota(authenticator === undefined ? Infinity : EVENT_STREAMS_PER_KEY, credentials),
    },
  ],
  exports: [GUARDS, StreamQuota, RequestLimits, CredentialsWatch],
})
export class AccessModule {}
