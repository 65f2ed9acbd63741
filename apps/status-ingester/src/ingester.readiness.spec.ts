import { brokerHealth } from './ingester.readiness.js';

const AWAY = 'the broker at mqtt://broker:1883 cannot be reached: connect ECONNREFUSED';
const CONNECTED = { problem: undefined };
const LOST = { problem: AWAY };
const WATCHED = { stalledFilters: [], refusedTopics: [] };

/** An ingester without lanes: all of them are connected. */
const lanes = { connected: true };

describe('the check "broker" of an ingester', () => {
  it('is up with a connection to the broker', () => {
    expect(brokerHealth(CONNECTED, CONNECTED, lanes, WATCHED)).toBe('up');
  });

  it('is degraded without one, if no lane misses it', () => {
    expect(brokerHealth(CONNECTED, LOST, lanes, WATCHED)).toEqual({ degraded: AWAY });
  });

  it('is down if a lane misses it, and says why', () => {
    expect(brokerHealth(CONNECTED, LOST, { connected: false }, WATCHED)).toEqual({ down: AWAY });
    expect(brokerHealth(LOST, CONNECTED, lanes, WATCHED)).toEqual({ down: AWAY });
  });

  it('is down if a lane alone is not connected', () => {
    expect(brokerHealth(CONNECTED, CONNECTED, { connected: false }, WATCHED)).toEqual({
      down: 'not all lanes of this process are connected to the broker',
    });
  });
});
