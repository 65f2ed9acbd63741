import { runApp } from '@app/platform';
import { gatewayAdapter, prepareHttp } from './gateway-http.js';
import { GatewayModule } from './gateway.module.js';
import { gatewaySettings } from './gateway.settings.js';

await runApp({
  name: 'api-gateway',
  settings: gatewaySettings,
  module: (settings, logger) => GatewayModule.wire(settings, logger),
  adapter: gatewayAdapter,
  prepare: prepareHttp,
});
