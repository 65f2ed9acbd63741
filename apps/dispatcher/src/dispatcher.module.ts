import { Module, type DynamicModule } from '@nestjs/common';
import { BrokerGate, Publisher } from '@app/broker';
import {
  HealthModule,
  Lifecycle,
  ObservabilityModule,
  REDIS,
  RedisModule,
  SettingsModule,
  type Logger,
  type NamedConnection,
} from '@app/platform';
import { KeySpaceOpening, RegistryModule } from '@app/registry';
import { DispatcherLifecycle } from './dispatcher.lifecycle.js';
import { dispatcherReadiness } from './dispatcher.readiness.js';
import type { DispatcherSettings } from './dispatcher.settings.js';
import { CLAIMS_REDIS, LEASES_REDIS, Outbound, OutboundModule, WORKER_REDIS } from './outbound/outbound.module.js';
import { assertOutboundTimes } from './outbound/outbound-times.js';

const MAIN_REDIS: NamedConnection = { token: REDIS, name: 'dispatcher', whenAway: 'wait' };

@Module({})
export class DispatcherModule {
  static wire(settings: DispatcherSettings, logger: Logger): DynamicModule {
    assertOutboundTimes();
    return {
      module: DispatcherModule,
      imports: [
        SettingsModule.of(settings),
        ObservabilityModule.of(logger),
        RedisModule.connect([MAIN_REDIS, WORKER_REDIS, CLAIMS_REDIS, LEASES_REDIS]),
        RegistryModule,
        OutboundModule,
        HealthModule.of({
          imports: [OutboundModule, RegistryModule],
          inject: [REDIS, KeySpaceOpening, BrokerGate, Publisher, Outbound],
          useFactory: dispatcherReadiness,
        }),
      ],
      providers: [{ provide: Lifecycle, useClass: DispatcherLifecycle }],
    };
  }
}
