import { quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { checkBroker } from './broker-check.js';

let mosquitto: Server;
beforeAll(async () => {
  mosquitto = await startMosquitto();
});
afterAll(() => mosquitto.stop());

const check = (url: string): ReturnType<typeof checkBroker> =>
  checkBroker({ access: { url }, name: 'spec', needs: 'intake', sentinel: 'cloud-connector/sentinel', logger: quiet });

describe('checkBroker', () => {
  it('finds that Mosquitto has all that the service needs, and what it grants', async () => {
    expect(await check(mosquitto.url)).toEqual({
      kind: 'checked',
      findings: {
        granted: {
          sessionExpirySeconds: null,
          receiveMaximum: 1000,
          maximumPacketSize: null,
          maximumQos: 2,
          retainAvailable: true,
          sharedSubscriptions: true,
          wildcardSubscriptions: true,
          serverKeepAliveSeconds: null,
        },
        absenceProvable: true,
        noSubscriberSignal: true,
        notAllowed: undefined,
      },
    });
  });
});
