import { getEventListeners } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { noSubscribersHidden } from '../../../../test/support/contrary/acknowledgements.js';
import type { Behaviour } from '../../../../test/support/contrary/behaviour.js';
import { FLASHMQ_LIMITS, granted } from '../../../../test/support/contrary/connects.js';
import { reversedOrder, sentinelAlwaysFirst } from '../../../../test/support/contrary/retained-order.js';
import { retainStripped, sharedRefused } from '../../../../test/support/contrary/shared-subscriptions.js';
import { startOlderBroker } from '../../../../test/support/older-broker.js';
import { freePort, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { weakerPromises } from './weaker-promises.js';
import { checkBroker, checkEssentials, type BrokerCheck, type EssentialsCheck } from './broker-check.js';

let mosquitto: Server;
beforeAll(async () => {
  mosquitto = await startMosquitto();
});
afterAll(() => mosquitto.stop());

const SENTINEL = 'cloud-connector/sentinel';
const check = (url: string): Promise<BrokerCheck> =>
  checkBroker({ access: { url }, name: 'spec', needs: 'intake', sentinel: SENTINEL, logger: quiet });
const checkAgain = (url: string): Promise<EssentialsCheck> => checkEssentials({ access: { url }, name: 'spec' }, true);

/** What `act` finds on a broker with these behaviours. */
async function behind<T>(behaviours: readonly Behaviour[], act: (url: string) => Promise<T>): Promise<T> {
  const contrary = await ContraryBroker.before(mosquitto.port, ...behaviours);
  try {
    return await act(contrary.url);
  } finally {
    await contrary.stop();
  }
}

/** Drops each retained message that a SUBSCRIBE brings, except for the sentinel. */
const keepsNone: Behaviour = () => ({
  onRead: (delivery) => ({
    ...delivery,
    steps: delivery.steps.filter((step) => typeof step !== 'number' && step.topic === SENTINEL),
  }),
});

/** Ends the connection at a SUBSCRIBE. */
const endsAtSubscribe: Behaviour = (link) => ({ fromClient: { subscribe: () => link.end() } });

describe('checkBroker', () => {
  it('finds that Mosquitto has all that the service needs, and what it grants', async () => {
    expect(await check(mosquitto.url)).toEqual({ kind: 'checked', findings: MOSQUITTO_FINDINGS });
  });

  it('finds which limits the broker names, and that it does not report missing subscribers', async () => {
    expect(await behind([granted(FLASHMQ_LIMITS), noSubscribersHidden], check)).toMatchObject({
      kind: 'checked',
      findings: {
        granted: { sessionExpirySeconds: 1_209_600, receiveMaximum: 512 },
        noSubscriberSignal: false,
        absenceProvable: true,
      },
    });
  });

  it('finds that reads prove an absence if messages come in another order, and prove none if the sentinel always comes first', async () => {
    expect(await behind([reversedOrder], check)).toMatchObject({ findings: { absenceProvable: true } });
    expect(await behind([sentinelAlwaysFirst], check)).toMatchObject({
      kind: 'checked',
      findings: { absenceProvable: false },
    });
  });

  it.each<[string, string, Behaviour]>([
    ['retained messages, by its own word', 'retained-messages', granted({ retainAvailable: false })],
    ['retained messages, although it grants them', 'retained-messages', keepsNone],
    ['shared subscriptions, by its own word', 'shared-subscriptions', granted({ sharedSubscriptionAvailable: false })],
    ['shared subscriptions, although it grants them', 'shared-subscriptions', sharedRefused],
    ['wildcards', 'wildcard-subscriptions', granted({ wildcardSubscriptionAvailable: false })],
    ['QoS 1', 'qos-1', granted({ maximumQoS: 0 })],
    ['Retain As Published on shared subscriptions', 'retain-as-published', retainStripped()],
  ])('finds that a broker lacks %s', async (_, essential, ...behaviours) => {
    expect(await behind(behaviours, check)).toEqual({ kind: 'missing', essential });
  });

  it('finds that a broker lacks MQTT 5', async () => {
    const older = await startOlderBroker();
    expect(await check(older.url)).toEqual({ kind: 'missing', essential: 'mqtt-5' });
    await older.stop();
  });

  it('proves nothing if there is no connection, or if the connection ends', async () => {
    expect(await check(`mqtt://127.0.0.1:${await freePort()}`)).toMatchObject({ kind: 'unreachable' });
    expect(await behind([endsAtSubscribe], check)).toMatchObject({
      kind: 'interrupted',
      findings: { granted: { receiveMaximum: 1000 }, absenceProvable: null, noSubscriberSignal: null },
    });
  });
});

describe('a check whose topics the access control does not allow', () => {
  /** What both checks find with these rights. */
  async function withRights(...rights: string[]): Promise<[BrokerCheck, EssentialsCheck]> {
    const dir = await mkdtemp(join(tmpdir(), 'cloud-connector-spec-'));
    const acl = join(dir, 'acl');
    // Mosquitto warns of an access control list that others may read.
    await writeFile(acl, ['topic readwrite other/#', ...rights, ''].join('\n'), { mode: 0o600 });
    const broker = await startMosquitto({ config: [`acl_file ${acl}`] });
    const found = await Promise.all([check(broker.url), checkAgain(broker.url)]);
    await broker.stop();
    await rm(dir, { recursive: true });
    return found;
  }

  it('names the topic, and refuses no broker', async () => {
    const [whole, essentials] = await withRights();
    expect(whole).toMatchObject({
      kind: 'checked',
      findings: {
        granted: { receiveMaximum: 1000 },
        absenceProvable: null,
        noSubscriberSignal: null,
        notAllowed: expect.stringMatching(/^cloud-connector\/check\/.*\/shared\/level$/) as string,
      },
    });
    expect(essentials).toEqual({ kind: 'present' });
  });

  it.each([
    ['publish', 'topic read cloud-connector/sentinel', 'refused to retain a message on cloud-connector/sentinel'],
    ['read', 'topic write cloud-connector/sentinel', 'did not send the message that is retained on'],
  ])('names the sentinel as what it may not %s, and the right', async (_, right, cause) => {
    const [whole, essentials] = await withRights('topic readwrite cloud-connector/check/#', right);
    expect(whole).toMatchObject({
      findings: { absenceProvable: null, noSubscriberSignal: true, notAllowed: undefined },
    });
    const { findings } = whole as Extract<BrokerCheck, { kind: 'checked' }>;
    const lines = weakerPromises(findings, 'intake');
    expect(lines).toEqual([expect.stringContaining(cause)]);
    expect(lines[0]).toMatch(
      /allow this user to publish and subscribe to cloud-connector\/sentinel, also through \$share\/, /,
    );
    expect(essentials).toEqual({ kind: 'present' });
  });

  it('is interrupted if it may publish but not read: a broker that is slow is as silent', async () => {
    const details = expect.stringMatching(
      /^nothing came by .*\/plain within 4000 ms: the broker is slow, or does not/,
    ) as string;
    expect(await withRights('topic write cloud-connector/check/#')).toMatchObject([
      { kind: 'interrupted', details, findings: { granted: { receiveMaximum: 1000 }, notAllowed: undefined } },
      { kind: 'interrupted', details },
    ]);
  });
});

describe('a check that is stopped', () => {
  /** Passes nothing on of this kind, and says so. */
  type WithoutReply = (reached: () => void) => Behaviour;
  const noConnack: WithoutReply = (reached) => () => ({ fromBroker: { connack: reached } });
  const noPuback: WithoutReply = (reached) => () => ({ fromClient: { publish: reached } });
  const noDelivery: WithoutReply = (reached) => () => ({ fromBroker: { publish: reached } });
  const noRead: WithoutReply = (reached) => () => ({
    fromClient: { subscribe: (packet, pass) => (packet.subscriptions.length > 1 ? reached() : pass(packet)) },
  });

  it.each<[string, WithoutReply, string]>([
    ['to the CONNECT', noConnack, 'unreachable'],
    ['to a publish', noPuback, 'interrupted'],
    ['with a delivery', noDelivery, 'interrupted'],
    ['to a read', noRead, 'interrupted'],
  ])('does not wait until the broker replies %s', async (_, silent, kind) => {
    const stopping = new AbortController();
    const { signal } = stopping;
    const stopped = { kind, details: 'the check was stopped' };
    const access = (url: string): Parameters<typeof checkEssentials>[0] => ({ access: { url }, name: 'spec', signal });
    const whole = await behind([silent(() => stopping.abort())], (url) =>
      checkBroker({ ...access(url), needs: 'intake', sentinel: SENTINEL, logger: quiet }),
    );
    expect(whole).toMatchObject(stopped);
    expect(await behind([], (url) => checkEssentials(access(url), true))).toMatchObject({
      details: 'the check was stopped',
    });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

describe('checkEssentials', () => {
  it('finds what is missing, and nothing on Mosquitto', async () => {
    expect(await checkAgain(mosquitto.url)).toEqual({ kind: 'present' });
    expect(await behind([retainStripped()], checkAgain)).toEqual({
      kind: 'missing',
      essential: 'retain-as-published',
    });
    expect(await behind([sharedRefused], checkAgain)).toEqual({ kind: 'missing', essential: 'shared-subscriptions' });
    expect(await behind([endsAtSubscribe], checkAgain)).toMatchObject({ kind: 'interrupted' });
  });
});
