/**
 * In: the lanes of this process. Out: reconnects of lanes that the broker has stalled, and their names for readiness.
 * Invariant: a lane counts as stalled only if it is connected, and a marker that matches its filter does not come back in time,
 * or messages had waited for it.
 */
import { Module, type DynamicModule } from '@nestjs/common';
import { Publisher } from '@app/broker';
import { LOGGER, SETTINGS, type Logger } from '@app/platform';
import { inboundTopics } from '../topics/topics.settings.js';
import { IntakeModule } from './intake.module.js';
import type { IntakeSettings } from './intake.settings.js';
import { LaneMarkers } from './lane-markers.js';
import { LaneWatch, type LaneWatchTiming } from './lane-watch.js';
import { LaneStrategy } from './lane.strategy.js';

/** A marker may wait in a lane until another ingester has taken the lane over: `LEASE_TIME` and a moment. */
export function watchTiming(leaseMs: number): LaneWatchTiming {
  return { everyMs: 5000, returnMs: 15_000 + leaseMs, quietMs: 60_000, longestQuietMs: 300_000 };
}

@Module({})
export class LaneWatchModule {
  static of(timing?: LaneWatchTiming): DynamicModule {
    return {
      module: LaneWatchModule,
      imports: [IntakeModule],
      providers: [
        {
          provide: LaneWatch,
          inject: [Publisher, LaneMarkers, LaneStrategy, SETTINGS, LOGGER],
          useFactory: (
            publisher: Publisher,
            markers: LaneMarkers,
            lanes: LaneStrategy,
            settings: IntakeSettings,
            logger: Logger,
          ) =>
            new LaneWatch({
              publisher,
              markers,
              templates: inboundTopics(settings),
              timing: timing ?? watchTiming(settings.LEASE_TIME),
              lanes: () => lanes.serving,
              laneCount: settings.INTAKE_LANES,
              logger,
            }),
        },
      ],
      exports: [LaneWatch],
    };
  }
}
