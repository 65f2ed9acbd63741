import { checkBrokerSettings } from '@app/broker';
import { commonSettings, integer, section } from '@app/platform';
import { z } from 'zod';
import { outboundSettings } from './outbound/outbound.settings.js';

export const dispatcherSettings = z
  .object({
    ...commonSettings,
    ...section('HTTP', { PORT: integer(3002, 0, 65_535).describe('Port to listen on, for health and metrics.') }),
    ...outboundSettings,
  })
  .superRefine(checkBrokerSettings);
export type DispatcherSettings = z.output<typeof dispatcherSettings>;
