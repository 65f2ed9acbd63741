/** Wires what stands between callers and handlers. */
import type { Provider } from '@nestjs/common';
import type { Logger, Redis } from '@app/platform';
import type { RegistryKeys } from '@app/registry';
import type { GatewaySettings } from '../gateway.settings.js';
import { limitsOf } from './access.settings.js';
import { Authenticator } from './authenticator.js';
import { Doors } from './doors.js';
import { OpenStreams } from './open-streams.js';
import { RequestLimits } from './request-limits.js';
import { GUARDS, type Guards } from './route-guard.js';

/** @throws SettingsError where the key file is wrong */
export function accessProviders(
  settings: GatewaySettings,
  redis: Redis,
  keys: RegistryKeys,
  logger: Logger,
): Provider[] {
  const guards: Guards = {
    authenticator: Authenticator.of(settings, logger),
    limits: new RequestLimits(redis, keys.requestLimits, limitsOf(settings)),
    doors: new Doors(settings, logger),
  };
  const { authenticator } = guards;
  const streams = new OpenStreams(
    authenticator === undefined ? Infinity : settings.EVENT_STREAMS_PER_KEY,
    (caller) => authenticator === undefined || authenticator.isCurrent(caller),
  );
  return [
    { provide: GUARDS, useValue: guards },
    { provide: Doors, useValue: guards.doors },
    { provide: RequestLimits, useValue: guards.limits },
    { provide: OpenStreams, useValue: streams },
  ];
}
