import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { MOST_LOOKED_AT, MessageSearch, Messages } from '@app/registry';
import { RequestCaller, type Caller } from '../access/caller.js';
import { RequestLimits } from '../access/request-limits.js';
import { Requires } from '../access/scopes.js';
import { Problems } from '../http/problem.js';
import { toMessageBody } from './message.dto.js';
import { FoundMessagesBody, MessageSearchQuery, SEARCH_CURSOR } from './message-search.dto.js';

@ApiTags('Messages')
@Controller('v1/messages')
export class MessageSearchController {
  constructor(
    private readonly messages: Messages,
    private readonly search: MessageSearch,
    private readonly limits: RequestLimits,
  ) {}

  @Get()
  @Requires('messages:read')
  @ApiOperation({
    summary: 'List messages across connections',
    description:
      'There is no index for it: a page looks at 1,000 stored messages at most, so it may have fewer items than its limit, even none, ' +
      'and a next page may follow. Messages come shard by shard: unfinished ones, the next to expire first; those that await an ' +
      'answer; finished ones, for each key or account that sent them the newest first. A message that changes during that may come ' +
      'twice. For a caller that is bound to an account they come connection by connection, and with `client_id` the newest first.',
  })
  @ApiOkResponse({ standardSchema: FoundMessagesBody, description: 'A page of messages.' })
  @Problems('invalid')
  async searchMessages(
    @Query({ schema: MessageSearchQuery }) query: MessageSearchQuery,
    @RequestCaller() caller: Caller,
  ): Promise<FoundMessagesBody> {
    const { status, client_id: clientId, limit, cursor } = query;
    const { account } = caller;
    const since = query.since === undefined ? undefined : Date.parse(query.since);
    await this.limits.countCost(caller, { items: MOST_LOOKED_AT });
    if (clientId !== undefined) {
      const from = cursor !== undefined && 'client' in cursor ? cursor.client : undefined;
      const { messages, lookedAt, next } = await this.messages.list(clientId, limit, status, from, account, since);
      return {
        data: messages.map(toMessageBody),
        next_cursor: SEARCH_CURSOR.encode(next === undefined ? undefined : { client: next }),
        looked_at: account === undefined ? lookedAt : null,
      };
    }
    const from = cursor !== undefined && !('client' in cursor) ? cursor : undefined;
    const { messages, lookedAt, next } = await this.search.page({ status, since, account }, limit, from);
    return {
      data: messages.map(toMessageBody),
      next_cursor: SEARCH_CURSOR.encode(next),
      looked_at: account === undefined ? lookedAt : null,
    };
  }
}
