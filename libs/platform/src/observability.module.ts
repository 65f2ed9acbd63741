/**
 * In: the app's logger. Out: `LOGGER` and `Draining` for every module of the app, and `/metrics`.
 * Invariant: a module that measures or logs needs nothing else.
 */
import { Module, type DynamicModule } from '@nestjs/common';
import { Draining } from './draining.js';
import type { Logger } from './logger.js';
import { MetricsController } from './metrics.js';
import { LOGGER } from './tokens.js';

@Module({})
export class ObservabilityModule {
  static of(logger: Logger): DynamicModule {
    return {
      module: ObservabilityModule,
      global: true,
      controllers: [MetricsController],
      providers: [Draining, { provide: LOGGER, useValue: logger }],
      exports: [Draining, LOGGER],
    };
  }
}
