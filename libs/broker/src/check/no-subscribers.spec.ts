import { reportsNoSubscribers } from './no-subscribers.js';

describe('reportsNoSubscribers', () => {
  it.each([
    [0x10, 0, true],
    [0, 0, false],
    [0x10, 0x10, false],
  ])('with PUBACKs %p without and %p with a subscriber is %p', (without, withOne, reports) => {
    expect(reportsNoSubscribers({ without, with: withOne })).toBe(reports);
  });
});
