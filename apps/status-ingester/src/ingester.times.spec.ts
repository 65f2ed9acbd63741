import { loadSettings } from '@app/platform';
import { quiet } from '../../../test/support/servers.js';
import { IngesterModule } from './ingester.module.js';
import { ingesterSettings } from './ingester.settings.js';
import { assertIngesterTimes, ingesterTimes, type IngesterTime } from './ingester.times.js';

const TIMES = ingesterTimes({ LEASE_TIME: 3000 });

describe('assertIngesterTimes', () => {
  it.each([2000, 3000, 60_000])(
    'assertIngesterTimes accepts the times of this release with a LEASE_TIME of %d ms',
    (ms) => {
      expect(() => assertIngesterTimes(ingesterTimes({ LEASE_TIME: ms }))).not.toThrow();
    },
  );

  it('assertIngesterTimes refuses a LEASE_TIME that exceeds what the settings allow', () => {
    expect(() => assertIngesterTimes(ingesterTimes({ LEASE_TIME: 60_001 }))).toThrow(
      'LEASE_TIME (60001 ms) must not be longer than BARRIER_TIMEOUT_MS (60000 ms)',
    );
  });

  it('an ingester opens nothing if two of its times do not fit each other', () => {
    const settings = loadSettings(ingesterSettings, { REDIS_URL: 'redis://127.0.0.1', MQTT_URL: 'mqtt://127.0.0.1' });
    expect(() => IngesterModule.wire({ ...settings, LEASE_TIME: 60_001 }, quiet)).toThrow('BARRIER_TIMEOUT_MS');
  });

  it.each<[IngesterTime, number, IngesterTime]>([
    ['LEASE_TIME', 18_001, 'watchTiming.returnMs'],
    ['watchTiming.returnMs', 120_001, 'MARKER_KEPT_MS'],
    ['BARRIER_REPEAT_MS', 60_001, 'BARRIER_TIMEOUT_MS'],
    ['JOB_STALLED_CHECK_MS', 10_001, 'JOB_LOCK_MS'],
    ['LATER_QUIET_MS', 3001, 'SWEEP_SILENCE_MS'],
    ['UPTIME_TOLERANCE_MS', 5001, 'UPTIME_MIN_SPAN_SECONDS * 1000'],
    ['RETAINED_LAG_MS', 501, 'FIRST_QUIET_MS'],
    ['RESULT_LOST_MS', 10_001, 'TODO_AGAIN_MS'],
    ['HOUSEKEEPING_MS', 5001, 'TODO_GRACE_MS'],
    ['CLEAR_WITHIN_MS', 30_001, 'PUBLISH_LIMITS.timeoutMs'],
  ])('assertIngesterTimes refuses a %s of %d ms: it does not fit %s', (time, ms, atMost) => {
    const refused = expect(() => assertIngesterTimes({ ...TIMES, [time]: ms }));
    refused.toThrow(`${time} (${ms} ms) must not be longer than ${atMost} (${TIMES[atMost]} ms), because`);
  });

  it.each<[IngesterTime, number, IngesterTime]>([
    ['BARRIER_TIMEOUT_MS', 2999, 'LEASE_TIME'],
    ['NO_PROGRESS_MS', 4999, 'RESULT_LOST_MS'],
  ])('assertIngesterTimes refuses a %s of %d ms: %s does not fit it', (atMost, ms, time) => {
    const refused = expect(() => assertIngesterTimes({ ...TIMES, [atMost]: ms }));
    refused.toThrow(`${time} (${TIMES[time]} ms) must not be longer than ${atMost} (${ms} ms), because`);
  });

  it('assertIngesterTimes refuses markers that Redis forgets before the barrier asks for them again', () => {
    const times = { ...TIMES, MARKER_KEPT_MS: 999, 'watchTiming.returnMs': 500, LEASE_TIME: 400 };
    expect(() => assertIngesterTimes(times)).toThrow(
      'BARRIER_REPEAT_MS (1000 ms) must not be longer than MARKER_KEPT_MS (999 ms), because',
    );
  });
});
