import { runApp } from '@app/platform';
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
});
