import { runApp } from '@app/platform';
import { Doors } from './access/doors.js';
import { Gateway } from './gateway.js';
import { GatewayModule } from './gateway.module.js';
import { gatewaySettings } from './gateway.settings.js';
import { gatewayAdapter, prepareHttp } from './http/gateway-http.js';

await runApp({
  name: 'api-gateway',
  settings: gatewaySettings,
  module: (settings, logger) => GatewayModule.wire(settings, logger),
  adapter: gatewayAdapter,
  prepare: prepareHttp,
  started: async (app) => {
    await app.get(Doors).open(app.getHttpAdapter().getInstance());
    await app.get(Gateway).start();
  },
});
