/** Finds shards whose outbound side has work and no owner, and calls for one. */
import { isCluster, isRedisError, type Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';
import { formerNames, type DueShard, type FormerNames } from './outbound-work.js';
import type { WakeUps } from './wake-ups.js';

const outboundDue = commands.load<{ shards: readonly string[] }, Readonly<Record<string, never>>, number[]>(
  'outbound-due',
);

const ringOutbound = commands.load<
  FormerNames & { outbound_owner: string; claims: string; ready: string; claimed: string },
  Readonly<Record<string, never>>,
  0 | 1
>('ring-outbound');

/**
 * The shards with work, now or later. One command on a single Redis, and one for each shard on a Redis Cluster. There,
 * shards on a node that does not answer are left out.
 */
export async function dueShards(redis: Redis, keys: RegistryKeys, shardCount: number): Promise<DueShard[]> {
  const shards = Array.from({ length: shardCount }, (_, shard) => shard);
  const groups = isCluster(redis) ? shards.map((shard) => [shard]) : [shards];
  const found = await Promise.allSettled(groups.map((group) => dueOf(redis, keys, group)));
  const failed = found.find((one) => one.status === 'rejected' && !isRedisError(one.reason));
  if (failed?.status === 'rejected') throw failed.reason;
  if (groups.length === 1 && found[0]?.status === 'rejected') throw found[0].reason;
  return found.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
}

async function dueOf(redis: Redis, keys: RegistryKeys, shards: readonly number[]): Promise<DueShard[]> {
  const names = shards.flatMap((shard) => [
    keys.owner({ kind: 'outbound', index: shard }),
    keys.ready(shard),
    keys.claimed(shard),
  ]);
  const reply = await outboundDue.run(redis, { shards: names }, {});
  return shards.flatMap((shard, i) => {
    const [leaseMs = -1, dueInMs = -1, waiting = 0, oldestMs = 0] = reply.slice(4 * i, 4 * i + 4);
    return dueInMs < 0 ? [] : [{ shard, leaseMs: leaseMs < 0 ? undefined : leaseMs, dueInMs, waiting, oldestMs }];
  });
}

/** Tells the owner of the shard's outbound side that a connection has become ready; without an owner, activates it. */
export async function ringOutboundOf(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  wakeUps: Pick<WakeUps, 'wake'>,
): Promise<void> {
  const names = {
    outbound_owner: keys.owner({ kind: 'outbound', index: shard }),
    claims: keys.claims(shard),
    ready: keys.ready(shard),
    claimed: keys.claimed(shard),
    ...formerNames(keys, shard),
  };
  if ((await ringOutbound.run(redis, names, {})) === 0) await wakeUps.wake([shard]);
}
