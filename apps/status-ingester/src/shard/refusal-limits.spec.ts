import { RefusalLimits } from './refusal-limits.js';

const T0 = Date.parse('2024-05-06T07:00:00Z');
const MINUTE = 60_000;

function taken(limits: RefusalLimits, clientId: string, at: number): number {
  let count = 0;
  while (limits.takeEvent(clientId, at)) count++;
  return count;
}

it('a client may add twenty refusals at once and then one a minute, whatever other clients add', () => {
  const limits = new RefusalLimits();
  expect(taken(limits, 'a', T0)).toBe(20);
  expect(taken(limits, 'a', T0 + MINUTE - 1)).toBe(0);
  expect(taken(limits, 'a', T0 + MINUTE)).toBe(1);
  expect(taken(limits, 'a', T0 + 3.5 * MINUTE)).toBe(2);
  expect(taken(limits, 'a', T0 + 4 * MINUTE)).toBe(1);
  expect(taken(limits, 'b', T0)).toBe(20);
  expect(taken(limits, 'a', T0 + 1000 * MINUTE)).toBe(20);
});

it('events and dead letters have separate limits, and an event that was not needed is given back', () => {
  const limits = new RefusalLimits();
  expect(taken(limits, 'a', T0)).toBe(20);
  expect(limits.takeDeadLetter('a', T0)).toBe(true);
  limits.returnEvent('a');
  limits.returnEvent('unknown');
  expect(taken(limits, 'a', T0)).toBe(1);
});

it('a clock that goes back does not raise the limit', () => {
  const limits = new RefusalLimits();
  expect(taken(limits, 'a', T0)).toBe(20);
  expect(taken(limits, 'a', T0 - 10 * MINUTE)).toBe(0);
});

it('to ask how many events are left takes none, and grows with time as taking does', () => {
  const limits = new RefusalLimits();
  expect(limits.eventsLeft('a', T0)).toBe(20);
  expect(taken(limits, 'a', T0)).toBe(20);
  expect(limits.eventsLeft('a', T0)).toBe(0);
  expect(limits.eventsLeft('a', T0 + 3.5 * MINUTE)).toBe(3);
  expect(limits.eventsLeft('a', T0 + 1000 * MINUTE)).toBe(20);
  expect(taken(limits, 'a', T0 + 3.5 * MINUTE)).toBe(3);
});
