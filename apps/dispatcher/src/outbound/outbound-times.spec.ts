import { OUTBOUND_TIMES, assertOutboundTimes } from './outbound-times.js';

describe('assertOutboundTimes', () => {
  it('assertOutboundTimes accepts the times of this release', () => {
    expect(() => assertOutboundTimes()).not.toThrow();
  });

  it.each<[keyof typeof OUTBOUND_TIMES, number, keyof typeof OUTBOUND_TIMES]>([
    ['GATHER_MS', 251, 'ANSWER_MS'],
    ['ANSWER_MS', 1001, 'TURN_MS'],
    ['CHECK_MS', 2001, 'OUTBOUND_LEASE_MS'],
    ['OUTBOUND_LEASE_MS', 3001, 'IDLE_MS'],
    ['GIVE_UP_MS', 6001, 'CLOSE_MS'],
  ])('assertOutboundTimes refuses a %s of %d ms: it does not fit %s', (time, ms, atMost) => {
    const refused = expect(() => assertOutboundTimes({ ...OUTBOUND_TIMES, [time]: ms }));
    refused.toThrow(`${time} (${ms} ms) must not be longer than ${atMost} (${OUTBOUND_TIMES[atMost]} ms), because`);
  });
});
