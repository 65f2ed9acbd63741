import { Controller, Get, Header, Inject, Query, StreamableFile } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { SETTINGS } from '@app/platform';
import { shardOf } from '@app/protocol';
import { CLUSTER_TYPES } from '@app/registry';
import { RequestCaller, type Caller } from '../access/caller.js';
import { scopeMissing } from '../access/refusals.js';
import { StreamQuota } from '../access/stream-quota.js';
import { Requires, includesScope } from '../access/scopes.js';
import { Problem, Problems, wrongHeader } from '../http/problem.js';
import { LastEventId } from '../http/request-headers.js';
import { decodeCursor } from './event-cursor.js';
import { EventFeed } from './event-feed.js';
import { EventsQuery } from './events-query.dto.js';
import type { EventsSettings } from './events.settings.js';

@ApiTags('Events')
@Controller('v1/events')
export class EventsController {
  constructor(
    private readonly feed: EventFeed,
    private readonly streams: StreamQuota,
    @Inject(SETTINGS) private readonly settings: EventsSettings,
  ) {}

  @Get()
  @Requires('events:read')
  @Header('cache-control', 'no-store')
  // A connection that stays open after the stream has ended would delay the stop of the gateway.
  @Header('connection', 'close')
  // Tells proxies not to buffer events.
  @Header('x-accel-buffering', 'no')
  @ApiOperation({
    summary: 'Events as they happen',
    description:
      'Server-sent events. The events of one connection come in order. Each `id` is a cursor: a stream that is opened ' +
      'with it as `Last-Event-ID`, at any gateway, resumes there. It may repeat the events of the last seconds, with ' +
      'the same `event_id`; it misses none. With `since`, a stream begins at a time instead. A `gap` means that events of a shard may be lost; `closed` is the last ' +
      'event of a stream that the gateway ends: nothing was read from it for 60 seconds, its credentials have ' +
      'expired or were revoked, or the gateway stops. A slow reader is served at its own pace. 429 if these credentials have ' +
      'as many streams open at this gateway as `EVENT_STREAMS_PER_KEY` allows.',
  })
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'The id to resume from. It wins over `since`; without both, the stream begins with new events.',
    schema: { $ref: '#/components/schemas/EventCursor' },
  })
  @ApiOkResponse({
    description: 'Each event has `id`, `event`, which is its type, and `data`, which is JSON.',
    content: { 'text/event-stream': { schema: { $ref: '#/components/schemas/Event' } } },
  })
  @Problems('invalid')
  async streamEvents(
    @Query({ schema: EventsQuery }) { types, client_id: clientId, since }: EventsQuery,
    @LastEventId() lastEventId: string | undefined,
    @RequestCaller() caller: Caller,
  ): Promise<StreamableFile> {
    const fromMs = lastEventId === undefined ? undefined : timeOf(lastEventId);
    const sinceMs = lastEventId === undefined && since !== undefined ? Math.max(0, Date.parse(since)) : undefined;
    const shard = clientId === undefined ? undefined : shardOf(clientId, this.settings.SHARD_COUNT);
    assertMayFollow(caller, types ?? new Set());
    const filter = { types, clientId, shard, sinceMs, account: caller.account, caller: caller.id };
    const { stream } = await this.streams.admit(caller, async () => {
      const subscription = await this.feed.subscribe(filter, fromMs);
      if (subscription !== undefined) return subscription;
      throw new Problem(
        'unavailable',
        'this gateway has as many event streams open as EVENT_STREAMS and EVENT_BUFFER_TOTAL allow; ask another one',
        {
          retryAfterSeconds: 5,
        },
      );
    });
    return new StreamableFile(stream, { type: 'text/event-stream; charset=utf-8' });
  }
}

/** Some types need a further scope. @throws Problem */
function assertMayFollow({ scopes }: Caller, types: ReadonlySet<string>): void {
  if (types.has('client.message') && !scopes.has('messages:read')) throw scopeMissing('messages:read');
  const namesCluster = [...types].some((type) => CLUSTER_TYPES.has(type));
  if (namesCluster && !includesScope(scopes, 'cluster:read')) throw scopeMissing('cluster:read');
}

/** The time of a cursor, epoch milliseconds. @throws Problem */
function timeOf(lastEventId: string): number {
  const ms = decodeCursor(lastEventId);
  if (ms !== undefined) return ms;
  throw wrongHeader('Last-Event-ID', 'must be the id of an event of this installation; without it, new events come');
}
