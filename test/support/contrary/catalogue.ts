/** The behaviours by the names that `CONTRARY` has in the agreement suite. */
import type { BEHAVIOURS } from '../../../scripts/contrary-behaviours.mjs';
import type { Random } from '../random.js';
import { noSubscribersHidden } from './acknowledgements.js';
import type { Behaviour } from './behaviour.js';
import { FLASHMQ_LIMITS, HIVEMQ_LIMITS, granted, sometimesRefusedConnects } from './connects.js';
import { dupDropped, newPacketIds } from './redelivery.js';
import { RetainedHistory } from './retained-late.js';
import { dropsInMidRead, pausesInMidRead, sometimesLostRetained } from './retained-losses.js';
import { randomOrder, sentinelFirst } from './retained-order.js';
import { silentAfter } from './shared-subscriptions.js';

export type BehaviourName = keyof typeof BEHAVIOURS;
export type SingleName = Exclude<BehaviourName, 'mixture'>;

/** Topics of the service: the one that ends each of its reads, and the clients' status topics. */
export const SENTINEL = 'cloud-connector/sentinel';
export const STATUS_FILTER = 'redhat/insights/in/+';
/** Shorter than the time between two reads of the service, of which the second counts. */
const LAG_MS = 300;

/** Lines of mosquitto.conf: what it queues for a session that is away, as these brokers do. */
export const BROKER_CONFIG: Partial<Record<BehaviourName, readonly string[]>> = {
  'hivemq-limits': ['max_queued_messages 1000'],
  'flashmq-limits': ['max_queued_messages 512'],
};

/** Behaviours that devices meet too. The others concern only what the service does. */
export const MET_BY_DEVICES: readonly BehaviourName[] = [
  'dup-dropped',
  'new-packet-ids',
  'hivemq-limits',
  'flashmq-limits',
];

interface Made {
  readonly behaviours: readonly Behaviour[];
  readonly stop: () => Promise<void>;
}

type Maker = (random: Random, brokerUrl: string) => readonly Behaviour[] | Promise<Made>;

const MAKERS: Record<SingleName, Maker> = {
  'sentinel-first': () => [sentinelFirst],
  'random-order': (random) => [randomOrder(random)],
  'sentinel-lost': (random) => [sometimesLostRetained(SENTINEL, 3, random)],
  'no-subscribers-hidden': () => [noSubscribersHidden],
  'dup-dropped': () => [dupDropped],
  'new-packet-ids': (random) => [dupDropped, newPacketIds(random)],
  'refused-connects': (random) => [sometimesRefusedConnects(3, random)],
  'silent-filter': (random) => [silentAfter(100 + random.below(200), 2)],
  'hivemq-limits': () => [granted(HIVEMQ_LIMITS)],
  'flashmq-limits': () => [granted(FLASHMQ_LIMITS)],
  'retained-late': async (_, brokerUrl) => {
    const history = await RetainedHistory.of(brokerUrl, STATUS_FILTER, LAG_MS);
    return { behaviours: [history.late], stop: () => history.stop() };
  },
  'retained-stale': async (_, brokerUrl) => {
    const history = await RetainedHistory.of(brokerUrl, STATUS_FILTER, LAG_MS);
    return { behaviours: [history.stale], stop: () => history.stop() };
  },
  'retained-pauses': () => [pausesInMidRead(500, 2)],
  'retained-drops': (random) => [dropsInMidRead(1000, random)],
};

export async function behavioursOf(name: SingleName, random: Random, brokerUrl: string): Promise<Made> {
  const made = await MAKERS[name](random, brokerUrl);
  return 'behaviours' in made ? made : { behaviours: made, stop: () => Promise.resolve() };
}
