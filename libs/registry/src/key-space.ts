/**
 * The key space's marker (S0): what an installation was set up with and cannot change under way. A process with
 * other settings refuses to start, since it would look for clients on shards where they are not.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { HASH_VERSION } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import type { RegistryKeys } from './registry-keys.js';

export interface Marker {
  id: string;
  shardCount: number;
  hashVersion: string;
  /** Random by default: who knows the group's name can take part in the shared subscription. */
  shareGroup: string;
  /** Most lanes that ever took part; each has a session at the broker. */
  laneCount: number;
}

/** The settings do not fit the key space; the message says which and how to move. */
export class KeySpaceError extends Error {
  override readonly name = 'KeySpaceError';
}

/** KEYS marker · ARGV field, value … → all fields, those that were there before unchanged. */
const claim = new RedisScript<string[]>(
  'ccClaimKeySpace',
  `for i = 1, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
   return redis.call('HGETALL', KEYS[1])`,
);

/**
 * Reads the marker, writing it first where the key space is new: then with this share group, or a random one.
 * @throws KeySpaceError
 */
export async function claimKeySpace(
  redis: Redis,
  keys: RegistryKeys,
  shardCount: number,
  shareGroup = `cc-${randomBytes(12).toString('hex')}`,
): Promise<Marker> {
  const flat = await claim.run(
    redis,
    [keys.marker],
    [
      ...['id', randomUUID()],
      ...['shard_count', shardCount],
      ...['hash_version', HASH_VERSION],
      ...['share_group', shareGroup],
      ...['lane_count', 0],
    ],
  );
  const fields = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
  const marker: Marker = {
    id: fields.get('id') ?? '',
    shardCount: Number(fields.get('shard_count')),
    hashVersion: fields.get('hash_version') ?? '',
    shareGroup: fields.get('share_group') ?? '',
    laneCount: Number(fields.get('lane_count')),
  };
  if (marker.shardCount !== shardCount) {
    throw new KeySpaceError(
      `SHARD_COUNT is ${shardCount}, but this key space was set up with ${marker.shardCount} and keeps it for life. ` +
        `Set SHARD_COUNT=${marker.shardCount}, or start a new key space with another KEY_PREFIX`,
    );
  }
  if (marker.hashVersion !== HASH_VERSION) {
    throw new KeySpaceError(
      `this key space was written with shard hash ${marker.hashVersion}, this release uses ${HASH_VERSION}. ` +
        'Run the release that wrote it, or start a new key space with another KEY_PREFIX',
    );
  }
  return marker;
}

/** Notes how many lanes take part. @throws KeySpaceError where lanes would be left behind to swallow their share. */
export async function claimLanes(redis: Redis, keys: RegistryKeys, marker: Marker, lanes: number): Promise<void> {
  if (marker.laneCount > lanes) {
    throw new KeySpaceError(
      `INTAKE_LANES is ${lanes}, but ${marker.laneCount} lanes have sessions at the broker, which would go on ` +
        `receiving their share. Set INTAKE_LANES=${marker.laneCount}`,
    );
  }
  await redis.hset(keys.marker, 'lane_count', lanes);
}
