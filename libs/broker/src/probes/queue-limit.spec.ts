import { connect } from 'mqtt';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import type { Behaviour } from '../../../../test/support/contrary/behaviour.js';
import { gate, startMosquitto, type ServerProcess } from '../../../../test/support/servers.js';
import { measureQueueLimit } from './queue-limit.js';

let limited: ServerProcess;
let mosquitto: ServerProcess;

beforeAll(async () => {
  [limited, mosquitto] = await Promise.all([
    startMosquitto({ config: ['max_queued_messages 300'] }),
    startMosquitto({ config: ['max_queued_messages 0'] }),
  ]);
});

afterAll(() => Promise.all([limited.stop(), mosquitto.stop()]));

/** Whether the broker has a session of this client, which it keeps. */
async function hasSession(clientId: string): Promise<boolean> {
  const properties = { sessionExpiryInterval: 60 };
  const client = connect(mosquitto.url, { clientId, protocolVersion: 5, clean: false, properties });
  const isPresent = await new Promise<boolean>((resolve) => {
    client.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
  });
  await client.endAsync();
  return isPresent;
}

describe('measureQueueLimit', () => {
  it('counts what the broker keeps for an absent session', async () => {
    expect(await measureQueueLimit({ url: limited.url })).toBe(300);
  });

  it('returns null if the broker keeps everything', async () => {
    expect(await measureQueueLimit({ url: mosquitto.url })).toBeNull();
  });

  it('ends its session if it is aborted in the middle', async () => {
    const clientIds: string[] = [];
    const publishing = gate();
    const withoutPublishes: Behaviour = ({ clientId }) => {
      clientIds.push(clientId);
      return { fromClient: { publish: () => publishing.open() } };
    };
    const contrary = await ContraryBroker.before(mosquitto.port, withoutPublishes);
    const aborting = new AbortController();
    const measured = measureQueueLimit({ url: contrary.url }, aborting.signal);
    await publishing.passed;
    const [laneId = ''] = clientIds;
    expect(await hasSession(laneId)).toBe(true);
    aborting.abort();
    await expect(measured).rejects.toThrow('not measured in time');
    expect(await hasSession(laneId)).toBe(false);
    await contrary.stop();
  });
});
