/**
 * `/health/live`: the process makes progress; asks nothing of others, so that a Redis that is away never gets a
 * process killed (S7). `/health/ready`: the app's own checks, and not draining.
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
import { redisTrouble, type Redis } from './redis.js';
import { RouteAccess } from './route-access.js';

/** `up`; `degraded` if the app still serves; otherwise the reason why it cannot. */
export type ReadinessOutcome = 'up' | { degraded: string } | { down: string };

/** What an app needs to do its work. */
export interface ReadinessCheck {
  name: string;
  check(): Promise<ReadinessOutcome>;
}

/** For apps that cannot work without Redis. */
export function redisCheck(redis: Redis): ReadinessCheck {
  return {
    name: 'redis',
    check: async () => {
      const trouble = await redisTrouble(redis);
      return trouble === undefined ? 'up' : { down: trouble };
    },
  };
}

export const READINESS_CHECKS = Symbol('READINESS_CHECKS');

@Controller('health')
export class HealthController {
  private readonly outcomes: Recent[];

  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly draining: Draining,
    @Inject(READINESS_CHECKS) checks: ReadinessCheck[],
  ) {
    this.outcomes = checks.map((check) => new Recent(check));
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
    const indicators = this.outcomes.map((one): HealthIndicatorFunction => async () => {
      const indicator = this.indicators.check(one.name);
      const outcome = await one.outcome();
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

/** Anybody may ask, as often as they like: what is asked of others is asked this often at most. */
const ASKED_EVERY_MS = 500;

/** What a check found, a moment ago at most. */
class Recent {
  private askedAt = -Infinity;
  private found: ReturnType<ReadinessCheck['check']> | undefined;

  constructor(private readonly of: ReadinessCheck) {}

  get name(): string {
    return this.of.name;
  }

  outcome(): ReturnType<ReadinessCheck['check']> {
    const now = performance.now();
    if (this.found === undefined || now - this.askedAt > ASKED_EVERY_MS) {
      this.askedAt = now;
      this.found = this.of.check().catch((error: unknown) => ({ down: String(error) }));
    }
    return this.found;
  }
}
