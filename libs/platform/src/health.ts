/**
 * `/health/live`: the process can answer. It depends on no other server, so that an outage of Redis never gets a process
 * killed (S7). `/health/ready`: all checks of the app succeed, and the process does not drain.
 */
import { Controller, Get, Inject } from '@nestjs/common';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
  type HealthIndicatorFunction,
} from '@nestjs/terminus';
import { Draining } from './draining.js';
import { redisOutage } from './redis-outage.js';
import type { Redis } from './redis.js';
import { RouteAccess } from './route-access.js';

/** `degraded`: the app still serves, with the given restriction. `down`: why it cannot serve. */
export type ReadinessOutcome = 'up' | { degraded: string } | { down: string };

export interface ReadinessCheck {
  name: string;
  check(): Promise<ReadinessOutcome>;
}

/** For apps that cannot work without Redis. */
export function redisCheck(redis: Redis): ReadinessCheck {
  return {
    name: 'redis',
    check: async () => {
      const outage = await redisOutage(redis);
      return outage === undefined ? 'up' : { down: outage };
    },
  };
}

export const READINESS_CHECKS = Symbol('READINESS_CHECKS');

@Controller('health')
export class HealthController {
  private readonly checks: CachedCheck[];

  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly draining: Draining,
    @Inject(READINESS_CHECKS) checks: ReadinessCheck[],
  ) {
    this.checks = checks.map((check) => new CachedCheck(check));
  }

  @Get('live')
  @RouteAccess({ audience: 'public' })
  @HealthCheck({ noCache: true, swaggerDocumentation: false })
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  @Get('ready')
  @RouteAccess({ audience: 'public' })
  @HealthCheck({ noCache: true, swaggerDocumentation: false })
  ready(): Promise<HealthCheckResult> {
    const indicators = this.checks.map((check): HealthIndicatorFunction => async () => {
      const indicator = this.indicators.check(check.name);
      const outcome = await check.outcome();
      if (outcome === 'up') return indicator.up();
      return 'down' in outcome ? indicator.down(outcome.down) : indicator.degraded({ message: outcome.degraded });
    });
    indicators.push(() => {
      const indicator = this.indicators.check('process');
      return this.draining.started ? indicator.down('draining') : indicator.up();
    });
    return this.health.check(indicators);
  }
}

/** Probes are open to all callers without a limit, so an outcome is used for this long. */
const CACHED_FOR_MS = 500;

class CachedCheck {
  private checkedAt = -Infinity;
  private cached: ReturnType<ReadinessCheck['check']> | undefined;

  constructor(private readonly source: ReadinessCheck) {}

  get name(): string {
    return this.source.name;
  }

  outcome(): ReturnType<ReadinessCheck['check']> {
    const now = performance.now();
    if (this.cached === undefined || now - this.checkedAt > CACHED_FOR_MS) {
      this.checkedAt = now;
      this.cached = this.source.check().catch((error: unknown) => ({ down: String(error) }));
    }
    return this.cached;
  }
}
