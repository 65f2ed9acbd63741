import { Module, type DynamicModule } from '@nestjs/common';
import {
  HealthController,
  HealthModule,
  Lifecycle,
  LOGGER,
  MetricsController,
  ObservabilityModule,
  REDIS,
  RedisModule,
  SettingsModule,
  type Logger,
  type NamedConnection,
} from '@app/platform';
import { KeySpaceOpening, RegistryModule } from '@app/registry';
import { AccessModule } from './access/access.module.js';
import { WhoamiController } from './access/whoami.controller.js';
import { ClusterController } from './cluster/cluster.controller.js';
import { ClusterModule } from './cluster/cluster.module.js';
import { ConnectionsController } from './connections/connections.controller.js';
import { ConnectionsModule, REPLIES_REDIS } from './connections/connections.module.js';
import { EventsController } from './events/events.controller.js';
import { EVENTS_REDIS, EventsModule } from './events/events.module.js';
import { GatewayLifecycle, STARTER_REDIS } from './gateway.lifecycle.js';
import { gatewayReadiness } from './gateway.readiness.js';
import type { GatewaySettings } from './gateway.settings.js';
import { assertGatewayTimes, gatewayTimes } from './gateway.times.js';
import { Availability } from './http/availability.js';
import { HttpModule } from './http/http.module.js';
import { MessageSearchController } from './messages/message-search.controller.js';
import { MessagesController } from './messages/messages.controller.js';
import { ACCEPTING_REDIS, FINALS_REDIS, MessagesModule } from './messages/messages.module.js';
import { StatsController } from './stats/stats.controller.js';
import { StatsModule } from './stats/stats.module.js';

/** The controllers that the OpenAPI document describes. */
export const CONTROLLERS = [
  ClusterController,
  ConnectionsController,
  EventsController,
  MessageSearchController,
  MessagesController,
  StatsController,
  WhoamiController,
  HealthController,
  MetricsController,
];

/** Its commands fail at once while Redis is away, so that requests are answered. */
const REQUESTS_REDIS: NamedConnection = { token: REDIS, name: 'gateway', whenAway: 'fail' };

@Module({})
export class GatewayModule {
  static wire(settings: GatewaySettings, logger: Logger): DynamicModule {
    assertGatewayTimes(gatewayTimes(settings));
    return {
      module: GatewayModule,
      imports: [
        SettingsModule.of(settings),
        ObservabilityModule.of(logger),
        RedisModule.connect([
          REQUESTS_REDIS,
          STARTER_REDIS,
          REPLIES_REDIS,
          ACCEPTING_REDIS,
          FINALS_REDIS,
          EVENTS_REDIS,
        ]),
        RegistryModule,
        HttpModule,
        AccessModule,
        ClusterModule,
        ConnectionsModule,
        EventsModule,
        MessagesModule,
        StatsModule,
        HealthModule.of({
          imports: [HttpModule, RegistryModule],
          inject: [REDIS, KeySpaceOpening, Availability, LOGGER],
          useFactory: gatewayReadiness,
        }),
      ],
      providers: [{ provide: Lifecycle, useClass: GatewayLifecycle }],
    };
  }
}
