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

/** Reads the marker, writing it first where the key space is new. @throws KeySpaceError */
export async function claimKeySpace(redis: Redis, keys: RegistryKeys, shardCount: number): Promise<Marker> {
  const fields = await claimFields(redis, keys, {
    id: randomUUID(),
    shard_count: shardCount,
    hash_version: HASH_VERSION,
  });
  const marker: Marker = {
    id: fields.get('id') ?? '',
    shardCount: Number(fields.get('shard_count')),
    hashVersion: fields.get('hash_version') ?? '',
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

/** Notices that the key space was emptied, or put back from elsewhere, beneath a running process (S0). */
export class KeySpaceWatch {
  private known: string | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /** @returns whether the marker that was there at the last call is gone, or is another one now; false at the first. */
  async changed(): Promise<boolean> {
    const id = (await this.redis.hget(this.keys.marker, 'id')) ?? undefined;
    const changed = this.known !== undefined && this.known !== id;
    this.known = id;
    return changed;
  }
}

/** What the key space notes for the lanes. */
export interface LaneMarks {
  /** Name of the shared subscription's group. */
  shareGroup: string;
  /** Lanes 0 to this, less one, may have sessions at the broker, which receive their share. */
  sessions: number;
}

/**
 * Notes which lanes take part, and in which share group: the one given where none is noted yet, else a random one,
 * since who knows the name can take part. For the ingester alone.
 */
export async function claimLanes(
  redis: Redis,
  keys: RegistryKeys,
  lanes: number,
  shareGroup = `cc-${randomBytes(12).toString('hex')}`,
): Promise<LaneMarks> {
  const wanted = Object.fromEntries(Array.from({ length: lanes }, (_, lane) => [laneField(lane), '1']));
  const fields = await claimFields(redis, keys, { share_group: shareGroup, ...wanted });
  const noted = [...fields.keys()].flatMap((field) => /^lane:(\d+)$/.exec(field)?.[1] ?? []).map(Number);
  return { shareGroup: fields.get('share_group') ?? shareGroup, sessions: Math.max(...noted) + 1 };
}

/** The lane has no session at the broker any more. */
export async function forgetLane(redis: Redis, keys: RegistryKeys, lane: number): Promise<void> {
  await redis.hdel(keys.marker, laneField(lane));
}

function laneField(lane: number): string {
  return `lane:${lane}`;
}

/** Writes the fields that are not there yet, and returns all. */
async function claimFields(
  redis: Redis,
  keys: RegistryKeys,
  wanted: Record<string, string | number>,
): Promise<Map<string, string>> {
  const flat = await claim.run(redis, [keys.marker], Object.entries(wanted).flat());
  const fields = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
  return fields;
}
