/** The probes of absence behind brokers on which no absence is proved. */
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import type { Behaviour } from '../../../../test/support/contrary/behaviour.js';
import { unreadableAtFirst } from '../../../../test/support/contrary/retained-losses.js';
import { sentinelAlwaysFirst } from '../../../../test/support/contrary/retained-order.js';
import { startMosquitto, type Server } from '../../../../test/support/servers.js';
import { retainedReadable, sentinelOrder } from './absence.js';
import type { Probe } from './probe.js';
import { ProbeBroker } from './probe-broker.js';
import { runProbes } from './run-probes.js';

let mosquitto: Server;

beforeAll(async () => {
  mosquitto = await startMosquitto();
});

afterAll(() => mosquitto.stop());

it.each<[string, Probe, Behaviour]>([
  ['sends the sentinel first, also if it has a SUBSCRIBE of its own', sentinelOrder, sentinelAlwaysFirst],
  [
    'has a message readable only after the second read',
    retainedReadable,
    unreadableAtFirst('cloud-connector/check/+/readable/0', 2),
  ],
])(
  'a broker that %s makes a promise weaker, and is not wrong: the service takes nobody offline',
  async (_, probe, broken) => {
    const contrary = await ContraryBroker.before(mosquitto.port, broken);
    const broker = new ProbeBroker({ url: contrary.url });
    const { verdict, probes } = await runProbes(broker, [probe]);
    await broker.cleanUp();
    await contrary.stop();
    expect(probes).toMatchObject([
      { verdict: 'weaker', meaning: expect.stringContaining('take no client offline') as string },
    ]);
    expect(verdict).toBe('weaker');
  },
);
