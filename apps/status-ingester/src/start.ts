import { runApp } from '@app/platform';
import { Ingester } from './ingester.js';
import { IngesterModule } from './ingester.module.js';
import { ingesterSettings } from './ingester.settings.js';
import { LaneStrategy } from './intake/lane.strategy.js';

await runApp({
  name: 'status-ingester',
  settings: ingesterSettings,
  module: (settings, logger) => IngesterModule.wire(settings, logger),
  prepare: (app) => {
    app.connectMicroservice({ strategy: app.get(LaneStrategy) });
  },
  started: (app) => app.get(Ingester).start(),
});
