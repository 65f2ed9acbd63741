/**
 * The key space's marker (S0): what an installation was set up with and cannot change under way. A process with
 * other settings refuses to start, since it would look for clients on shards where they are not.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { HASH_VERSION } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

export interface Marker {
  id: string;
  shardCount: number;
  hashVersion: string;
  /** Number of the layout in which the key space is stored; below `FORMAT` until it has been migrated. */
  format: number;
}

/** The layout that this release reads and writes. 0.1.0 wrote format 1, which its marker does not name. */
export const FORMAT = 2;

/**
 * What stands in the marker's field `hash_version`. A process of 0.1.0 compares that field alone, so the format is
 * part of it: such a process refuses to start on data that it cannot read. Later releases compare `hash` and `format`.
 */
const HASH_AND_FORMAT = `${HASH_VERSION} in format ${FORMAT}`;

/** The settings do not fit the key space; the message says which and how to move. */
export class KeySpaceError extends Error {
  override readonly name = 'KeySpaceError';
}

/** KEYS marker · ARGV field, value … → all fields. The given ones are written only if the key space is new. */
const claimScript = new RedisScript<string[]>(
  'ccClaimKeySpace',
  `if redis.call('HEXISTS', KEYS[1], 'id') == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
   return redis.call('HGETALL', KEYS[1])`,
);

/** KEYS marker · ARGV field, value … → all fields, those that were there before unchanged. */
const noteScript = new RedisScript<string[]>(
  'ccNoteInMarker',
  `for i = 1, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
   return redis.call('HGETALL', KEYS[1])`,
);

/** KEYS marker · ARGV format, hash, hash and format → whether the format was lower before (0/1). */
const raiseScript = new RedisScript<0 | 1>(
  'ccRaiseFormat',
  `if tonumber(redis.call('HGET', KEYS[1], 'format') or 1) >= tonumber(ARGV[1]) then return 0 end
   redis.call('HSET', KEYS[1], 'format', ARGV[1], 'hash', ARGV[2], 'hash_version', ARGV[3])
   return 1`,
);

/**
 * Reads the marker, and writes it first if the key space is new. The format may be an older one: see `migration/`.
 * @throws KeySpaceError
 */
export async function claimKeySpace(redis: Redis, keys: RegistryKeys, shardCount: number): Promise<Marker> {
  const fields = await runOnMarker(claimScript, redis, keys, {
    id: randomUUID(),
    shard_count: shardCount,
    hash_version: HASH_AND_FORMAT,
    hash: HASH_VERSION,
    format: FORMAT,
  });
  const marker: Marker = {
    id: fields.get('id') ?? '',
    shardCount: Number(fields.get('shard_count')),
    hashVersion: fields.get('hash') ?? fields.get('hash_version') ?? '',
    format: Number(fields.get('format') ?? 1),
  };
  if (marker.format > FORMAT) {
    throw new KeySpaceError(
      `this key space has format ${marker.format}, which a newer release wrote; this release knows formats up to ` +
        `${FORMAT}. Run the newer release, or start a new key space with another KEY_PREFIX`,
    );
  }
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

/** Writes down that the whole key space has this release's format. @returns whether it had an older one. */
export async function raiseFormat(redis: Redis, keys: RegistryKeys): Promise<boolean> {
  return (await raiseScript.run(redis, [keys.marker], [FORMAT, HASH_VERSION, HASH_AND_FORMAT])) === 1;
}

/** Notices that the key space was emptied, or put back from elsewhere, beneath a running process (S0). */
export class KeySpaceWatch {
  private known: string | undefined;
  private lanes: number | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /**
   * @returns whether the marker of the last call is gone, is another one now, or names a format that this release does
   * not know; false at the first call.
   */
  async changed(): Promise<boolean> {
    const { id = null, format = null, ...fields } = await this.redis.hgetall(this.keys.marker);
    const lanes = lanesIn(Object.keys(fields));
    this.lanes = lanes.length === 0 ? undefined : Math.max(...lanes) + 1;
    const now = id === null || Number(format ?? 1) <= FORMAT ? id : `${id} in format ${format}`;
    const changed = this.known !== undefined && this.known !== now;
    this.known = now ?? undefined;
    return changed;
  }

  /** Lanes 0 to this, less one, may have sessions at the broker, as the last call found; undefined if that is not known. */
  get sessions(): number | undefined {
    return this.lanes;
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
  const fields = await runOnMarker(noteScript, redis, keys, { share_group: shareGroup, ...wanted });
  return {
    shareGroup: fields.get('share_group') ?? shareGroup,
    sessions: Math.max(...lanesIn([...fields.keys()])) + 1,
  };
}

/** The lane has no session at the broker any more. */
export async function forgetLane(redis: Redis, keys: RegistryKeys, lane: number): Promise<void> {
  await redis.hdel(keys.marker, laneField(lane));
}

function lanesIn(fields: readonly string[]): number[] {
  return fields.flatMap((field) => /^lane:(\d+)$/.exec(field)?.[1] ?? []).map(Number);
}

function laneField(lane: number): string {
  return `lane:${lane}`;
}

async function runOnMarker(
  script: RedisScript<string[]>,
  redis: Redis,
  keys: RegistryKeys,
  wanted: Record<string, string | number>,
): Promise<Map<string, string>> {
  const flat = await script.run(redis, [keys.marker], Object.entries(wanted).flat());
  const fields = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
  return fields;
}
