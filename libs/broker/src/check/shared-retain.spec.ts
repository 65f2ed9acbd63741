import { lackOf } from './shared-retain.js';

describe('lackOf', () => {
  it.each<[boolean | null, boolean | null, ReturnType<typeof lackOf>, ReturnType<typeof lackOf>]>([
    [true, true, null, null],
    [null, null, 'shared-subscriptions', 'levels-with-dots'],
    [null, true, 'shared-subscriptions', 'levels-with-dots'],
    [true, null, 'retain-as-published', 'levels-with-dots'],
    [false, false, 'retain-as-published', 'retain-as-published'],
    [false, true, 'retain-as-published', 'retain-as-published'],
    [true, false, 'retain-as-published', 'retain-as-published'],
    [null, false, 'retain-as-published', 'retain-as-published'],
  ])('names what is missing if the flags are %p and %p', (set, cleared, plain, dotted) => {
    const flags = { set, cleared };
    expect([lackOf(flags, 'level'), lackOf(flags, 'level.with.dots')]).toEqual([plain, dotted]);
  });
});
