/**
 * 0.1.0 let clients register whose id no HTTP client can address. They are forgotten, whatever their state: the to-do goes
 * through the mailbox, where such a client has no connection.
 */
import { RESERVED_CLIENT_IDS } from '@app/protocol';
import { RedisScript } from '@app/platform';
import { StaleOwnerError } from '@app/sharding';
import { encodeToDo } from '../todos/to-do.js';
import type { MigrationStep } from './migration-step.js';

/** KEYS owner, connections, to-dos · ARGV fence, then client and to-do in turn → -1 stale */
const forgetScript = new RedisScript<number>(
  'ccForgetReserved',
  `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
   for i = 2, #ARGV, 2 do
     if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 then redis.call('ZADD', KEYS[3], 1, ARGV[i + 1]) end
   end
   return 0`,
);

export const RESERVED_IDS: MigrationStep = {
  to: 2,
  what: `connections with the client ids ${RESERVED_CLIENT_IDS.join(' ')} are forgotten`,
  run: async (redis, keys, grant) => {
    const { index: shard } = grant;
    const todos = RESERVED_CLIENT_IDS.flatMap((id) => [id, encodeToDo({ do: 'forget', client_id: id })]);
    const scriptKeys = [keys.owner(grant), keys.connections(shard), keys.todo(shard)];
    const reply = await forgetScript.run(redis, scriptKeys, [grant.fence, ...todos]);
    if (reply === -1) throw new StaleOwnerError(grant);
  },
};
