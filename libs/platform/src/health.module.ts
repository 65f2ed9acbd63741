/**
 * In: the app's readiness checks. Out: `/health/live` and `/health/ready`.
 * Invariants: liveness depends on no other server (S7); a process that drains is not ready (S6).
 */
import { Module, type DynamicModule, type FactoryProvider, type ModuleMetadata } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController, READINESS_CHECKS, type ReadinessCheck } from './health.js';

type ReadinessOptions = Pick<ModuleMetadata, 'imports'> &
  Required<Pick<FactoryProvider<ReadinessCheck[]>, 'inject' | 'useFactory'>>;

@Module({})
export class HealthModule {
  /** `imports`: the modules that export the dependencies of the checks. */
  static of({ imports = [], inject, useFactory }: ReadinessOptions): DynamicModule {
    return {
      module: HealthModule,
      imports: [TerminusModule.forRoot({ logger: false }), ...imports],
      controllers: [HealthController],
      providers: [{ provide: READINESS_CHECKS, inject, useFactory }],
    };
  }
}
