import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';

export interface StoredEvent {
  type: string;
  /** Events of the whole cluster have none. */
  client_id?: string;
}

/** The events about a client that the owner of its shard has stored, in order. */
export async function storedEvents(redis: Redis, clientId: string, shardCount: number): Promise<StoredEvent[]> {
  const entries = await redis.xrange(`cc:{s${shardOf(clientId, shardCount)}}:events`, '-', '+');
  return entries
    .map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as StoredEvent)
    .filter(({ client_id }) => client_id === clientId);
}
