/** Finds the connections with held messages that are missing in the sorted set of those. */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { messageCommands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

/** Messages that one run of the script checks. */
const BATCH = 500;

const findHeld = messageCommands.load<
  MessageKeys & { owner: string },
  { fence: string; from: number; count: number },
  number
>('find-held');

/** Checks all unfinished messages of a shard. @throws StaleOwnerError */
export async function findHeldConnections(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const shardKeys = { ...keys.ofMessages(grant.index), owner: keys.owner(grant) };
  for (let from = 0; ; from += BATCH) {
    const checked = await findHeld.run(redis, shardKeys, { fence: grant.fence, from, count: BATCH });
    if (checked === -1) throw new StaleOwnerError(grant);
    if (checked < BATCH) return;
  }
}
