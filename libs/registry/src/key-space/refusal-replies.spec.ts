import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { Refusals } from '../connections/refusals.js';
import { RegistryKeys } from '../keys.js';
import { encodeToDo } from '../todos/to-do.js';
import { REFUSAL_REPLIES } from './refusal-replies.js';

const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
const keys = new RegistryKeys('answers');
let redis: Redis;

withRedis((connection) => (redis = connection));

/** A to-do of 0.1.0. */
function answer(client_id: string, id: string | null): object {
  const body = { type: 'handshake-error', in_response_to: id, payload: { details: `refused ${id}` } } as const;
  return { do: 'answer', client_id, answer: body, message_id: `answer-${id}` };
}

it('the migration of refusals keeps the newest answer of each client and changes no other to-do', async () => {
  await redis.set(keys.owner(GRANT), GRANT.fence);
  const order = {
    do: 'answer',
    client_id: 'a',
    message_id: 'x',
    answer: { type: 'force-disconnect', payload: { reconnect_after: 'never' } },
  };
  const many = Array.from({ length: 1200 }, (_, i) => answer('busy', `h-${String(i).padStart(4, '0')}`));
  const todos = [answer('a', 'a-1'), answer('a', 'a-2'), answer('a', null), order, ...many];
  await redis.zadd(keys.todo(0), ...todos.flatMap((todo, i) => [i + 1, JSON.stringify(todo)]), 5000, 'not a to-do');
  for (let i = 0; i < 2; i++) await REFUSAL_REPLIES.run(redis, keys, GRANT);
  expect(new Set(await redis.zrange(keys.todo(0), '0', '-1'))).toEqual(
    new Set([
      'not a to-do',
      JSON.stringify(order),
      encodeToDo({ do: 'refuse', client_id: 'a' }),
      encodeToDo({ do: 'refuse', client_id: 'busy' }),
    ]),
  );
  const refusals = new Refusals(redis, keys);
  const [a, busy] = [await refusals.next(GRANT, 'a'), await refusals.next(GRANT, 'busy')];
  expect(a).toMatchObject({ inResponseTo: 'a-2', details: 'refused a-2', messageId: 'answer-a-2' });
  expect(busy).toMatchObject({ inResponseTo: 'h-1199' });
  const [waiting] = keys.refusals(0);
  expect(await redis.hlen(waiting)).toBe(3);
});

it('the migration of refusals writes nothing if the owner has lost the shard', async () => {
  await redis.set(keys.owner(GRANT), 'another');
  await redis.zadd(keys.todo(0), 1, JSON.stringify(answer('late', 'l-1')));
  await expect(REFUSAL_REPLIES.run(redis, keys, GRANT)).rejects.toThrow(StaleOwnerError);
});
