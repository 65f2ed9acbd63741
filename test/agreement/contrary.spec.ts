/**
 * One scenario behind each behaviour of the contrary broker. Devices connect and are verified; one removes its handshake, one
 * vanishes, one vanishes and returns; messages are sent and a sweep runs, all at the same time. At the end the registry equals
 * what the broker retains, client by client, and no event says that a device is offline whose connection has not ended.
 * `npm run test:repeat -- contrary 1` runs the whole suite behind each behaviour.
 */
import { waitUntil } from '../../scripts/stack.mjs';
import { SENT, withoutGivenUpClaims } from '../support/claims.js';
import { acknowledgementsLost, noSubscribersHidden } from '../support/contrary/acknowledgements.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { SENTINEL } from '../support/contrary/catalogue.js';
import { FLASHMQ_LIMITS, HIVEMQ_LIMITS, granted, refusedConnects } from '../support/contrary/connects.js';
import { dupDropped, newPacketIds } from '../support/contrary/redelivery.js';
import { dropsInMidRead, lostRetained, pausesInMidRead } from '../support/contrary/retained-losses.js';
import { randomOrder, sentinelFirst } from '../support/contrary/retained-order.js';
import { retainStripped, silentAfter } from '../support/contrary/shared-subscriptions.js';
import { Random, seedOfRun } from '../support/random.js';
import { ContraryStack, onLanes } from './contrary-stack.js';
import type { Devices } from './contrary-devices.js';

const UUID = /-[0-9a-f]{8}-[0-9a-f-]{27}$/;

const seed = seedOfRun();
const random = new Random(seed);
let stack: ContraryStack;

beforeAll(async () => {
  stack = await ContraryStack.start();
});

afterEach(() => stack.endDevices());

afterAll(() => stack.stop());

/** Plays the scenario behind a behaviour that has begun. */
async function play(name: string): Promise<Devices> {
  const all = await stack.devicesOnline(name);
  expect(await stack.play(all)).toMatchObject({ complete: true });
  await stack.untilRight(all);
  return all;
}

describe(`behind a broker that is contrary (seed ${seed}), the registry is right and nobody is offline wrongly, if it`, () => {
  it.each<[string, string, () => readonly Behaviour[]]>([
    ['sends the sentinel first', 'sentinel-first', () => [sentinelFirst]],
    ['sends retained messages in random order', 'random-order', () => [randomOrder(random)]],
    ['loses the sentinel twice', 'sentinel-lost', () => [lostRetained(SENTINEL, 2)]],
    ['delivers retained messages before they are readable', 'retained-late', () => [stack.history.late]],
    ['pauses in the middle of a read', 'retained-pauses', () => [pausesInMidRead(500, 2)]],
    ['drops messages in the middle of a read', 'retained-drops', () => [dropsInMidRead(5, random)]],
  ])('%s', async (_, name, behaviours) => {
    stack.behave(...behaviours());
    await play(name);
  });

  it('hides that a message has no subscribers', async () => {
    stack.behave(noSubscribersHidden);
    const all = await play('no-subscribers-hidden');
    expect(withoutGivenUpClaims(await all.statusesWithoutSubscription())).toEqual(SENT);
    await stack.untilRight(all);
  });

  it.each([
    ['HiveMQ', HIVEMQ_LIMITS],
    ['FlashMQ', FLASHMQ_LIMITS],
  ])('has the limits of %s', async (name, limits) => {
    stack.behave(granted(limits));
    stack.behaveToDevices(granted(limits));
    await play(name);
  });

  it('shows a reader the message before the one that it has delivered', async () => {
    stack.behave(stack.history.stale);
    const all = await play('retained-stale');
    // A handshake that has just been removed is in the first pass of a sweep, and in no later one.
    await all.remove(all.returning);
    expect(await stack.sweep()).toMatchObject({ complete: true });
    await all.shakeHands(all.returning);
    await stack.untilRight(all);
  });

  it.each<[string, string, () => readonly Behaviour[]]>([
    ['without DUP', 'dup-dropped', () => [dupDropped]],
    ['without DUP and under new packet ids', 'new-packet-ids', () => [dupDropped, newPacketIds(random)]],
  ])('redelivers %s', async (_, name, behaviours) => {
    const redelivering = behaviours();
    stack.behaveToDevices(...redelivering);
    stack.behave(
      acknowledgementsLost((clientId) => clientId.includes('-lane-')),
      ...redelivering,
    );
    const all = await play(name);
    await all.connect([all.reporting]);
    await all.untilOnline([all.reporting]);
    await all.reportError(stack.redis, 'delivered twice');
    const { body: known } = await stack.api.connection(all.reporting);
    const received = (): Promise<number> => stack.ingester.counter('intake_messages_total');
    const before = await received();
    stack.behave(...redelivering);
    await waitUntil(async () => expect((await received()) - before).toBeGreaterThan(all.ids.length), {
      what: 'the messages of the devices to come again',
    });
    // The only handshake of the device does not change the time again: its error has.
    await stack.api.untilConnection(all.reporting, ({ last_message_at }) => last_message_at !== known.last_message_at);
    await stack.untilRight(all);
    await all.reportError(stack.redis, 'delivered once');
    expect(await all.reportedErrors(stack.redis)).toEqual(['delivered twice', 'delivered once']);
    expect(await all.deadErrors()).toBe(0);
  });

  it('refuses connections for a while', async () => {
    const refusals = new Map<string, number>();
    let isRefusing = true;
    stack.behave(
      refusedConnects((clientId) => {
        const kind = clientId.replace(UUID, '');
        if (isRefusing) refusals.set(kind, (refusals.get(kind) ?? 0) + 1);
        return isRefusing;
      }),
    );
    await waitUntil(
      () => {
        // No lane connects while the check of the broker is refused. Each check has another client id.
        for (const kind of ['dispatcher', 'ingester', 'ingester-watch', 'ingester-check'])
          expect(refusals.get(kind) ?? 0).toBeGreaterThan(1);
      },
      { what: 'all apps to be refused twice' },
    );
    isRefusing = false;
    await play('refused-connects');
  });

  it('strips the retain flag on shared subscriptions for a while, and no device is told to go away', async () => {
    const { url } = stack.ingester;
    const readiness = async (): Promise<string> => (await fetch(`${url}/health/ready`)).text();
    stack.behave(retainStripped());
    await waitUntil(async () => expect(await readiness()).toContain('Retain As Published'), {
      what: 'the ingester to say why no lane connects',
    });
    const all = stack.devices('retain-stripped');
    await all.connect();
    stack.behave();
    await all.untilOnline();
    expect(await stack.play(all)).toMatchObject({ complete: true });
    await stack.untilRight(all);
    expect(all.refusals).toEqual([]);
  });

  it('falls silent on the shared subscription of a lane', async () => {
    const stalls = await stack.ingester.counter('lane_stalls_total');
    stack.behave(onLanes(silentAfter(3, 2)));
    await play('silent-filter');
    expect(await stack.ingester.counter('lane_stalls_total')).toBeGreaterThan(stalls);
  });

  it('was restarted, and verifies a client at the first request', async () => {
    stack.behave();
    const all = await stack.devicesOnline('restarted');
    const [id = ''] = all.staying;
    await stack.verify(id);
    await stack.restartBroker();
    await all.connect();
    await all.untilOnline();
    expect(await stack.api.call('POST', `/v1/connections/${id}/verify`)).toMatchObject({ status: 200 });
    await all.untilOnline();
  });
});
