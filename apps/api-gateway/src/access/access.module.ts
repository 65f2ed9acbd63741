/**
 * In: the credentials, address and port of a request. Out: its caller, or a refusal before a byte of its body is read.
 * Invariants: the gateway does not start with a route that declares no access; no stream outlives the credentials that opened
 * it.
 */
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type Logger, type Redis } from '@app/platform';
import { RegistryKeys, RegistryModule } from '@app/registry';
import { limitsOf, type AccessSettings } from './access.settings.js';
import { Authenticator } from './authenticator.js';
import { ListenerPolicy } from './listener-policy.js';
import { StreamQuota } from './stream-quota.js';
import { RequestLimits } from './request-limits.js';
import { GUARDS, type Guards } from './route-guard.js';

@Module({
  imports: [RegistryModule],
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
      provide: StreamQuota,
      inject: [SETTINGS, GUARDS],
      useFactory: ({ EVENT_STREAMS_PER_KEY }: AccessSettings, { authenticator }: Guards) =>
        authenticator === undefined
          ? new StreamQuota(Infinity, () => true)
          : new StreamQuota(EVENT_STREAMS_PER_KEY, (caller) => authenticator.isCurrent(caller)),
    },
  ],
  exports: [GUARDS, StreamQuota, RequestLimits],
})
export class AccessModule {}
