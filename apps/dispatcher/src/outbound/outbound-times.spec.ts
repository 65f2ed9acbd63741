import { OUTBOUND_TIMES, assertOutboundTimes } from './outbound-times.js';

describe('assertOutboundTimes', () => {
  it('assertOutboundTimes accepts the times of this release', () => {
    expect(() => assertOutboundTimes()).not.toThrow();
  });

  it.each<[keyof typeof OUTBOUND_TIMES, number, keyof typeof OUTBOUND_TIMES]>([
    ['CLAIM_MS', 2501, 'LOCK_MS - LOCK_RENEWAL_MS'],
    ['LATE_MS', 1001, 'RUN_MS'],
    ['LOCK_MS + 2 * STALLED_CHECK_MS', 10_001, 'WAKE_AGAIN_MS'],
    ['RUN_MS', 3001, 'GIVE_UP_MS'],
    ['GIVE_UP_MS', 6001, 'CLOSE_MS'],
  ])('assertOutboundTimes refuses a %s of %d ms: it does not fit %s', (time, ms, atMost) => {
    const refused = expect(() => assertOutboundTimes({ ...OUTBOUND_TIMES, [time]: ms }));
    refused.toThrow(`${time} (${ms} ms) must not be longer than ${atMost} (${OUTBOUND_TIMES[atMost]} ms), because`);
  });
});
