/**
 * In: the app's validated settings. Out: `SETTINGS`, for every module of the app.
 * Invariant: no provider reads the environment; each gets the typed settings through its constructor.
 */
import { Module, type DynamicModule } from '@nestjs/common';
import { SETTINGS } from './tokens.js';

@Module({})
export class SettingsModule {
  static of(settings: object): DynamicModule {
    return {
      module: SettingsModule,
      global: true,
      providers: [{ provide: SETTINGS, useValue: settings }],
      exports: [SETTINGS],
    };
  }
}
