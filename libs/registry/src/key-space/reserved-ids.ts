/**
 * 0.1.0 registered clients with ids that no HTTP client can address. Such connections are forgotten in any state: a to-do
 * makes the shard's owner remove them.
 */
import { RESERVED_CLIENT_IDS } from '@app/protocol';
import { StaleOwnerError } from '@app/sharding';
import { commands } from '../commands.js';
import { encodeToDo } from '../todos/to-do.js';
import type { MigrationStep } from './migration-step.js';

const forgetReserved = commands.load<
  { owner: string; connections: string; todo: string },
  { fence: string; reserved: readonly string[] },
  -1 | 0
>('forget-reserved-ids');

export const RESERVED_IDS: MigrationStep = {
  to: 2,
  what: `connections with the client ids ${RESERVED_CLIENT_IDS.join(' ')} are forgotten`,
  run: async (redis, keys, grant) => {
    const { index: shard } = grant;
    const reserved = RESERVED_CLIENT_IDS.flatMap((id) => [id, encodeToDo({ do: 'forget', client_id: id })]);
    const shardKeys = { owner: keys.owner(grant), connections: keys.connections(shard), todo: keys.todo(shard) };
    const reply = await forgetReserved.run(redis, shardKeys, { fence: grant.fence, reserved });
    if (reply === -1) throw new StaleOwnerError(grant);
  },
};
