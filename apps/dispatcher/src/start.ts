import { runApp } from '@app/platform';
import { DispatcherModule } from './dispatcher.module.js';
import { dispatcherSettings } from './dispatcher.settings.js';

await runApp({
  name: 'dispatcher',
  settings: dispatcherSettings,
  module: (settings, logger) => DispatcherModule.wire(settings, logger),
});
