import { RedisBusyError, RedisFullError, RedisUnavailableError } from '@app/platform';
import { asProblem } from './problem.filter.js';

const away = new RedisUnavailableError(new Error('connect ECONNREFUSED 10.0.0.5:6379'));
const full = new RedisFullError(new Error('OOM'));
const busy = new RedisBusyError(new Error('LOADING'));

it.each([
  ['GET', away, 'Redis cannot be reached, or does not answer in time; ask again'],
  ['HEAD', busy, 'Redis is busy: it loads its data, or runs a long script; ask again'],
  [
    'DELETE',
    away,
    'Redis cannot be reached, or does not answer in time; it is not known whether anything was changed: read what is there now before you repeat the request',
  ],
  [
    'POST',
    full,
    'Redis has no room; it is not known whether anything was changed: read what is there now before you repeat the request',
  ],
])('the problem of a %s names Redis, and speaks of changes only if there are any', (method, error, detail) => {
  expect(asProblem(error, method)).toMatchObject({ kind: 'unavailable', detail, more: { retryAfterSeconds: 1 } });
});
