import { loadSettings } from '@app/platform';
import { quiet } from '../../../test/support/servers.js';
import { GatewayModule } from './gateway.module.js';
import { gatewaySettings } from './gateway.settings.js';
import { assertGatewayTimes, gatewayTimes, type GatewayTime } from './gateway.times.js';

const TIMES = gatewayTimes({ SHUTDOWN_GRACE: 10_000 });

describe('assertGatewayTimes', () => {
  it.each([1000, 10_000])(
    'assertGatewayTimes accepts the times of this release with a SHUTDOWN_GRACE of %d ms',
    (ms) => {
      expect(() => assertGatewayTimes(gatewayTimes({ SHUTDOWN_GRACE: ms }))).not.toThrow();
    },
  );

  it('a gateway opens nothing if two of its times do not fit each other', () => {
    const settings = loadSettings(gatewaySettings, { REDIS_URL: 'redis://127.0.0.1' });
    expect(() => GatewayModule.wire({ ...settings, SHUTDOWN_GRACE: 900 }, quiet)).toThrow('MANAGEMENT_CLOSE_MS');
  });

  it.each<[GatewayTime, number, GatewayTime]>([
    ['RECONNECT_MS', 901, 'ACCEPT_TIMEOUT_MS'],
    ['STREAMS_STOP_MS', 10_001, 'SHUTDOWN_GRACE'],
    ['MANAGEMENT_CLOSE_MS', 10_001, 'SHUTDOWN_GRACE'],
  ])('assertGatewayTimes refuses a %s of %d ms: it does not fit %s', (time, ms, atMost) => {
    const refused = expect(() => assertGatewayTimes({ ...TIMES, [time]: ms }));
    refused.toThrow(`${time} (${ms} ms) must not be longer than ${atMost} (${TIMES[atMost]} ms), because`);
  });
});
