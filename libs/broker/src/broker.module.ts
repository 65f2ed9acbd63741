/**
 * In: the settings of the broker. Out: `BROKER` (its address and the app's credentials), what its check found, and the
 * app's only `Publisher`.
 * Invariants: secrets are read again at each connect; the lifecycle of the app closes the publisher.
 */
import { randomUUID } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import { LOGGER, SETTINGS, type Logger } from '@app/platform';
import { brokerAccess, type BrokerAccess, type BrokerSettings } from './broker-access.js';
import { BrokerFacts } from './check/broker-facts.js';
import { Publisher } from './publisher.js';

/** Injection token of `BrokerAccess`. */
export const BROKER = Symbol('BROKER');

@Module({})
export class BrokerModule {
  /** `name` is the first part of the publisher's MQTT client id. */
  static of(name: string): DynamicModule {
    return {
      module: BrokerModule,
      global: true,
      providers: [
        {
          provide: BROKER,
          inject: [SETTINGS, LOGGER],
          useFactory: (settings: BrokerSettings & { MQTT_URL: string }, logger: Logger) =>
            brokerAccess(settings, logger),
        },
        { provide: BrokerFacts, useFactory: () => new BrokerFacts() },
        {
          provide: Publisher,
          inject: [BROKER, LOGGER],
          useFactory: (access: BrokerAccess, logger: Logger) =>
            new Publisher(access, `${name}-${randomUUID()}`, logger),
        },
      ],
      exports: [BROKER, BrokerFacts, Publisher],
    };
  }
}
