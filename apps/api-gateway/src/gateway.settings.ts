/** Every setting of the gateway: each feature declares its own. */
import { commonSettings, integer, section } from '@app/platform';
import { z } from 'zod';
import { accessSettings, checkAccessSettings } from './access/access.settings.js';
import { checkConsoleSettings, consoleSettings } from './console/console.settings.js';
import { connectionsSettings } from './connections/connections.settings.js';
import { eventsSettings } from './events/events.settings.js';
import { httpSettings, checkHttpSettings } from './http/http.settings.js';
import { messagesSettings } from './messages/messages.settings.js';
import { openApiSettings } from './openapi/openapi.settings.js';

export const gatewaySettings = z
  .object({
    ...commonSettings,
    ...section('HTTP', {
      PORT: integer(3000, 0, 65_535).describe('Port to listen on.'),
    }),
    ...openApiSettings,
    ...accessSettings,
    ...httpSettings,
    ...connectionsSettings,
    ...messagesSettings,
    ...eventsSettings,
    ...consoleSettings,
  })
  .superRefine(checkAccessSettings)
  .superRefine(checkHttpSettings)
  .superRefine(checkConsoleSettings);
export type GatewaySettings = z.output<typeof gatewaySettings>;
