/**
 * The MQTT brokers that the product is tried on, each on one loopback port with its own limits: Mosquitto of Debian, mochi
 * from its Go module and HiveMQ CE from Maven. What they are built from is cached below `node_modules/.cache` and in the
 * caches of Go and Maven.
 */
import { startMosquitto } from '../../scripts/stack.mjs';
import { prepareHivemq, startHivemq } from './hivemq.mjs';
import { prepareMochi, startMochi } from './mochi.mjs';

/**
 * @typedef {{ dir: string, port?: number, persist?: boolean }} Options `dir`: for its log and data; `persist`: whether
 *   sessions and retained messages survive a restart
 * @typedef {import('../../scripts/stack.mjs').Part & { port: number, url: string }} RunningBroker
 * @typedef {object} BrokerKind
 * @property {() => string | undefined} prepare builds it; returns why it cannot run here
 * @property {(options: Options) => Promise<RunningBroker>} start
 * @property {boolean} canPersist
 */

/** @type {Record<'mosquitto' | 'mochi' | 'hivemq', BrokerKind>} */
export const BROKERS = {
  mosquitto: { prepare: () => undefined, start: startMosquitto, canPersist: true },
  mochi: { prepare: prepareMochi, start: startMochi, canPersist: true },
  hivemq: { prepare: prepareHivemq, start: startHivemq, canPersist: false },
};
