import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { RequestCaller, type Caller } from '../access/caller.js';
import { Requires } from '../access/scopes.js';
import { Problems } from '../http/problem.js';
import { StatsBody, toStatsBody, withoutMessages } from './stats.dto.js';
import { Stats } from './stats.js';

@ApiTags('Stats')
@Controller('v1/stats')
export class StatsController {
  constructor(private readonly stats: Stats) {}

  @Get()
  @Requires('connections:read')
  @ApiOperation({
    summary: 'Figures of connections and messages',
    description:
      'How many connections and messages there are, what waits and for how long, and rates and latencies of the last hour, at most ' +
      'a second old. What is about messages needs the scope `messages:read` as well. A caller that is bound to an account gets the connections of its ' +
      'account, and the messages that callers of its account have sent.',
  })
  @ApiOkResponse({ standardSchema: StatsBody, description: 'The figures.' })
  @Problems()
  async getStats(@RequestCaller() { account, scopes }: Caller): Promise<StatsBody> {
    const body = toStatsBody(await this.stats.read(account));
    return scopes.has('messages:read') ? body : withoutMessages(body);
  }
}
