/** The check of a broker finds what a contrary broker does, and nothing else; it refuses none that the service can work with. */
import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { noSubscribersHidden } from '../../../../test/support/contrary/acknowledgements.js';
import type { Behaviour } from '../../../../test/support/contrary/behaviour.js';
import { FLASHMQ_LIMITS, HIVEMQ_LIMITS, granted, refusedConnects } from '../../../../test/support/contrary/connects.js';
import { dupDropped, newPacketIds } from '../../../../test/support/contrary/redelivery.js';
import { RetainedHistory } from '../../../../test/support/contrary/retained-late.js';
import { lostRetained, unreadableAtFirst } from '../../../../test/support/contrary/retained-losses.js';
import {
  randomOrder,
  reversedOrder,
  sentinelAlwaysFirst,
  sentinelFirst,
} from '../../../../test/support/contrary/retained-order.js';
import { retainStripped, silentAfter } from '../../../../test/support/contrary/shared-subscriptions.js';
import { Random, seedOfRun } from '../../../../test/support/random.js';
import { quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { checkBroker, type BrokerCheck, type BrokerFindings } from './broker-check.js';
import type { Granted } from './granted.js';

const SENTINEL = 'cloud-connector/sentinel';
/** What a check retains to read it. A subscription to more of its topics would be a subscriber that it does not expect. */
const READ_FILTER = 'cloud-connector/check/+/retained/+';
/** Shorter than the time between the two reads of a check. */
const LAG_MS = 300;

const seed = seedOfRun();
let mosquitto: Server;
let contrary: ContraryBroker;

beforeAll(async () => {
  mosquitto = await startMosquitto();
});
afterAll(() => mosquitto.stop());
beforeEach(async () => {
  contrary = await ContraryBroker.before(mosquitto.port);
});
afterEach(() => contrary.stop());

function check(...behaviours: readonly Behaviour[]): Promise<BrokerCheck> {
  contrary.behave(...behaviours);
  const access = { url: contrary.url };
  return checkBroker({ access, name: 'spec', needs: 'intake', sentinel: SENTINEL, logger: quiet });
}

function found(
  more: Partial<Omit<BrokerFindings, 'granted'>>,
  limits: Partial<Granted> = {},
): Extract<BrokerCheck, { kind: 'checked' }> {
  const granted = { ...MOSQUITTO_FINDINGS.granted, ...limits };
  return { kind: 'checked', findings: { ...MOSQUITTO_FINDINGS, ...more, granted } };
}

describe(`checkBroker behind a contrary broker (seed ${seed})`, () => {
  it.each<[string, () => readonly Behaviour[]]>([
    ['serves the filters of a SUBSCRIBE in reverse order', () => [reversedOrder]],
    ['sends a sentinel of the same SUBSCRIBE first', () => [sentinelFirst]],
    ['serves filters in random order', () => [randomOrder(new Random(seed))]],
    ['redelivers without DUP', () => [dupDropped]],
    ['redelivers without DUP under new packet ids', () => [dupDropped, newPacketIds(new Random(seed))]],
    ['falls silent on a shared subscription once, from the first message on', () => [silentAfter(0, 1)]],
    ['falls silent on a shared subscription once, in the middle', () => [silentAfter(1, 1)]],
  ])('finds nothing if it %s', async (_, behaviours) => {
    expect(await check(...behaviours())).toEqual(found({}));
  });

  it('finds nothing if retained messages are readable before its second read', async () => {
    const history = await RetainedHistory.of(mosquitto.url, READ_FILTER, LAG_MS);
    expect(await check(history.late)).toEqual(found({}));
    await history.stop();
  });

  it('finds that no absence is proved if the sentinel comes first also if it has a SUBSCRIBE of its own', async () => {
    expect(await check(sentinelAlwaysFirst)).toEqual(found({ absenceProvable: false }));
  });

  it('finds that no absence is proved if retained messages are readable only after its second read', async () => {
    expect(await check(unreadableAtFirst(READ_FILTER, 2))).toEqual(found({ absenceProvable: false }));
  });

  it('does not know whether an absence is proved if the sentinel is lost', async () => {
    const readProblem = expect.stringContaining(`did not send the message that is retained on ${SENTINEL}`) as string;
    expect(await check(lostRetained(SENTINEL))).toEqual(found({ absenceProvable: null, readProblem }));
  });

  it('finds that nothing says that a message has no subscribers', async () => {
    expect(await check(noSubscribersHidden)).toEqual(found({ noSubscriberSignal: false }));
  });

  it('finds the limits of HiveMQ and of FlashMQ, and keeps to them', async () => {
    expect(await check(granted(HIVEMQ_LIMITS))).toEqual(
      found({}, { receiveMaximum: 10, maximumPacketSize: 268_435_460 }),
    );
    expect(await check(granted(FLASHMQ_LIMITS))).toEqual(
      found({}, { receiveMaximum: 512, sessionExpirySeconds: 1_209_600 }),
    );
  });

  it('finds nothing out if the broker refuses its connections, and refuses no broker for it', async () => {
    expect(await check(refusedConnects(() => true))).toMatchObject({ kind: 'unreachable' });
    let connects = 0;
    expect(await check(refusedConnects(() => connects++ > 0))).toMatchObject({ kind: 'interrupted' });
  });

  it('refuses a broker that strips the retain flag on shared subscriptions', async () => {
    expect(await check(retainStripped())).toEqual({ kind: 'missing', essential: 'retain-as-published' });
  });

  it('refuses a broker that delivers nothing to shared subscriptions, also on a further connection', async () => {
    expect(await check(silentAfter(0, Infinity))).toEqual({ kind: 'missing', essential: 'shared-subscriptions' });
  });
});
