/**
 * The key space's marker (S0): the settings with which the key space was created and which cannot change later. A process
 * with other settings refuses to start, because it would look for clients on the wrong shards.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { HASH_VERSION } from '@app/protocol';
import type { LuaCommand, Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';

export interface Marker {
  id: string;
  shardCount: number;
  hashVersion: string;
  /** Number of the stored layout; below `FORMAT` until the key space has been migrated. */
  format: number;
}

/** The layout that this release reads and writes. 0.1.0 wrote format 1, which its marker does not name. */
export const FORMAT = 4;

/**
 * The value of the marker's field `hash_version`. A process of 0.1.0 compares only this field, so its value includes the
 * format: 0.1.0 refuses to start on data that it cannot read. Later releases compare `hash` and `format`.
 */
const HASH_AND_FORMAT = `${HASH_VERSION} in format ${FORMAT}`;

/** The settings or the release do not fit the key space; the message names the difference and the remedy. */
export class KeySpaceError extends Error {
  override readonly name = 'KeySpaceError';
}

type MarkerCommand = LuaCommand<{ marker: string }, { fields: readonly (string | number)[] }, string[]>;

const claimMarker: MarkerCommand = commands.load('claim-key-space');

const noteInMarker: MarkerCommand = commands.load('note-in-marker');

const raiseMarkerFormat = commands.load<
  { marker: string },
  { format: number; hash: string; hash_and_format: string },
  0 | 1
>('raise-format');

/**
 * Reads the marker; writes it first if the key space is new. The format may be an older one, see `migration.ts`.
 * @throws KeySpaceError
 */
export async function claimKeySpace(redis: Redis, keys: RegistryKeys, shardCount: number): Promise<Marker> {
  const fields = await runOnMarker(claimMarker, redis, keys, {
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

/** Records that the whole key space has this release's format. @returns whether the marker named an older one */
export async function raiseFormat(redis: Redis, keys: RegistryKeys): Promise<boolean> {
  const args = { format: FORMAT, hash: HASH_VERSION, hash_and_format: HASH_AND_FORMAT };
  return (await raiseMarkerFormat.run(redis, { marker: keys.marker }, args)) === 1;
}

/** Detects that the key space was emptied or restored from a backup while the process is running (S0). */
export class KeySpaceWatch {
  private lastMarker: string | undefined;
  private lanes: number | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /**
   * @returns whether the marker has vanished or changed since the last call, or names a format that this release does not
   * know; false at the first call
   */
  async changed(): Promise<boolean> {
    const { id = null, format = null, ...fields } = await this.redis.hgetall(this.keys.marker);
    const lanes = lanesIn(Object.keys(fields));
    this.lanes = lanes.length === 0 ? undefined : Math.max(...lanes) + 1;
    const marker = id === null || Number(format ?? 1) <= FORMAT ? id : `${id} in format ${format}`;
    const changed = this.lastMarker !== undefined && this.lastMarker !== marker;
    this.lastMarker = marker ?? undefined;
    return changed;
  }

  /** The number of lanes that may have sessions at the broker, as of the last call; undefined if unknown. */
  get sessions(): number | undefined {
    return this.lanes;
  }
}

/** What the marker records about the lanes. */
export interface LaneRegistration {
  /** Name of the shared subscription's group. */
  shareGroup: string;
  /** Number of lanes that may have sessions at the broker; the broker delivers messages to each of them. */
  sessions: number;
}

/**
 * Records the lanes and their share group in the marker. If no group is recorded yet, `shareGroup` is used. Its default is
 * random, because every client that knows the name can join the group. Only ingesters call this.
 */
export async function claimLanes(
  redis: Redis,
  keys: RegistryKeys,
  lanes: number,
  shareGroup = `cc-${randomBytes(12).toString('hex')}`,
): Promise<LaneRegistration> {
  const wanted = Object.fromEntries(Array.from({ length: lanes }, (_, lane) => [laneField(lane), '1']));
  const fields = await runOnMarker(noteInMarker, redis, keys, { share_group: shareGroup, ...wanted });
  return {
    shareGroup: fields.get('share_group') ?? shareGroup,
    sessions: Math.max(...lanesIn([...fields.keys()])) + 1,
  };
}

/** Records that the lane has no session at the broker any more. */
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
  command: MarkerCommand,
  redis: Redis,
  keys: RegistryKeys,
  wanted: Record<string, string | number>,
): Promise<Map<string, string>> {
  const flat = await command.run(redis, { marker: keys.marker }, { fields: Object.entries(wanted).flat() });
  const fields = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '');
  return fields;
}
