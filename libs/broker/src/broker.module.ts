/**
 * In: the settings of the broker. Out: `BROKER` (its address and the app's credentials), what its check found, the gate
 * that lets the app use it, and the app's only `Publisher`.
 * Invariants: secrets are read again at each connect; the lifecycle of the app starts and stops the gate, and closes the
 * publisher.
 */
import { randomUUID } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import { LOGGER, SETTINGS, type Logger } from '@app/platform';
import { brokerAccess, type BrokerAccess, type BrokerSettings } from './broker-access.js';
import { checkBroker, checkEssentials, type CheckedFor } from './check/broker-check.js';
import { BrokerFacts } from './check/broker-facts.js';
import { BrokerGate } from './check/broker-gate.js';
import { Publisher } from './publisher.js';

/** Injection token of `BrokerAccess`. */
export const BROKER = Symbol('BROKER');

@Module({})
export class BrokerModule {
  /** `name` is the first part of the MQTT client ids of the publisher and of checks. */
  static of(name: string, checkedFor: CheckedFor): DynamicModule {
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
          provide: BrokerGate,
          inject: [BROKER, BrokerFacts, LOGGER],
          useFactory: (access: BrokerAccess, facts: BrokerFacts, logger: Logger) =>
            new BrokerGate({
              url: access.url,
              needs: checkedFor.needs,
              facts,
              checkAll: (signal) => checkBroker({ access, name, logger, signal, ...checkedFor }),
              checkEssentials: (withMessages, signal) => checkEssentials({ access, name, signal }, withMessages),
              logger,
            }),
        },
        {
          provide: Publisher,
          inject: [BROKER, BrokerGate, LOGGER],
          useFactory: (access: BrokerAccess, gate: BrokerGate, logger: Logger) => {
            const publisher = new Publisher(access, `${name}-${randomUUID()}`, logger);
            publisher.onLost(() => gate.connectionLost());
            return publisher;
          },
        },
      ],
      exports: [BROKER, BrokerFacts, BrokerGate, Publisher],
    };
  }
}
