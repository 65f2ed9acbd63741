/**
 * In: requests as bytes. Out: validated values for handlers, problem+json for callers, `Availability` for the lifecycle.
 * Invariants: every error is answered with a problem; no more bytes of bodies are in process than the settings allow; the API
 * answers 503 until the key space has been checked.
 */
import { Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { Draining, LOGGER, SETTINGS, type Logger } from '@app/platform';
import { Availability } from './availability.js';
import { BodyBudget } from './body-budget.js';
import { bodyLimits, type HttpSettings } from './http.settings.js';
import { ManagementPort, type ManagementSettings } from './management-port.js';
import { ProblemFilter } from './problem.filter.js';
import { validationPipe } from './validation.js';

@Module({
  providers: [
    { provide: APP_PIPE, useFactory: validationPipe },
    { provide: APP_FILTER, inject: [LOGGER], useFactory: (logger: Logger) => new ProblemFilter(logger) },
    {
      provide: BodyBudget,
      inject: [SETTINGS],
      useFactory: (settings: HttpSettings) => new BodyBudget(bodyLimits(settings)),
    },
    {
      provide: ManagementPort,
      inject: [SETTINGS, LOGGER],
      useFactory: (settings: ManagementSettings, logger: Logger) => new ManagementPort(settings, logger),
    },
    { provide: Availability, inject: [Draining], useFactory: (draining: Draining) => new Availability(draining) },
  ],
  exports: [Availability, BodyBudget, ManagementPort],
})
export class HttpModule {}
