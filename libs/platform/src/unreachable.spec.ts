import { causeOf, unreachable } from './unreachable.js';

it('names the server, its address and the cause', () => {
  expect(unreachable('Redis', 'redis://cache:6379', causeOf(new Error('connect ECONNREFUSED')))).toBe(
    'Redis at redis://cache:6379 cannot be reached: connect ECONNREFUSED',
  );
});

it.each([
  [
    'each address of a name that has several',
    new AggregateError([new Error('a'), new Error('b'), new Error('a')]),
    'a; b',
  ],
  [
    'the last node of a cluster',
    Object.assign(new Error('Failed'), { lastNodeError: new Error('refused') }),
    'refused',
  ],
  ['its class, if it says nothing', new TypeError(''), 'TypeError'],
  ['a thrown text', 'gone', 'gone'],
])('takes the cause of %s', (_, error, cause) => {
  expect(causeOf(error)).toBe(cause);
});
