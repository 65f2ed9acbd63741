/**
 * Format 4 has a sorted set of offline connections for each reason, and sets of those with a refusal window and those with held
 * messages. Format 3 had one of offline connections.
 */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import { decodeConnection } from '../connections/connection-record.js';
import { indexesOf } from '../connections/connection-writes.js';
import type { RegistryKeys } from '../keys.js';
import { findHeldConnections } from '../messages/held-connections.js';
import type { MigrationStep } from './migration-step.js';

/** Approximate number of connections that are read at a time: a connection can take 256 KiB. */
const PAGE = 100;

const indexConnections = commands.load<
  { owner: string; shard: string },
  { fence: string; members: readonly string[] },
  -1 | 0
>('index-connections');

const removeFormer = commands.load<
  { owner: string; shard: string },
  { fence: string; accounts: readonly string[] },
  -1 | 0
>('remove-former-offline');

export const SETS_OF_CONNECTIONS: MigrationStep = {
  to: 4,
  what: 'sets of offline, refused and held connections',
  run: async (redis, keys, grant) => {
    await index(redis, keys, grant);
    await removeFormerSets(redis, keys, grant);
    await findHeldConnections(redis, keys, grant);
  },
};

/** A record that cannot be read is in no set: the owner of the shard makes it a dead letter when its client speaks. */
async function index(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const { index: shard } = grant;
  const names = { owner: keys.owner(grant), shard: keys.shard(shard) };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.hscan(keys.connections(shard), cursor, 'COUNT', PAGE);
    const members: string[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const connection = decodeConnection(flat[i] ?? '', flat[i + 1] ?? '');
      if (connection === undefined) continue;
      for (const { key, member } of indexesOf(keys, shard, connection)) {
        members.push(key.slice(names.shard.length), member);
      }
    }
    if (members.length > 0)
      assertOwner(grant, await indexConnections.run(redis, names, { fence: grant.fence, members }));
    if (next === '0') return;
    cursor = next;
  }
}

async function removeFormerSets(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const names = { owner: keys.owner(grant), shard: keys.shard(grant.index) };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.hscan(keys.accounts(grant.index), cursor, 'COUNT', PAGE);
    const accounts = [...new Set(flat.filter((_, i) => i % 2 === 1))];
    assertOwner(grant, await removeFormer.run(redis, names, { fence: grant.fence, accounts }));
    if (next === '0') return;
    cursor = next;
  }
}

function assertOwner(grant: Grant, reply: -1 | 0): void {
  if (reply === -1) throw new StaleOwnerError(grant);
}
