import { brokerSettingsFit } from '@app/broker';
import { commonSettings, integer } from '@app/platform';
import { z } from 'zod';
import { outboundSettings } from './outbound/outbound.settings.js';

export const dispatcherSettings = z
  .object({ ...commonSettings, PORT: integer(3002, 0, 65_535), ...outboundSettings })
  .superRefine(brokerSettingsFit);
export type DispatcherSettings = z.output<typeof dispatcherSettings>;
