import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';

export interface StoredEvent {
  type: string;
  /** Events of the whole cluster have none. */
  client_id?: string;
  /** What an error that matches no message was about. */
  in_response_to?: string;
}

/** The events about a client that the owner of its shard has stored, in order. */
export async function storedEvents(
  redis: Redis,
  clientId: string,
  shardCount: number,
  stream: 'events' | 'events:refusals' = 'events',
): Promise<StoredEvent[]> {
  const entries = await redis.xrange(`cc:{s${shardOf(clientId, shardCount)}}:${stream}`, '-', '+');
  return entries
    .map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as StoredEvent)
    .filter(({ client_id }) => client_id === clientId);
}
