import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Problems } from '../http/problem.js';
import { CallerBody, toCallerBody } from './caller.dto.js';
import { RequestCaller, type Caller } from './caller.js';
import { RequiresNoScope } from './scopes.js';

@ApiTags('Access')
@Controller('v1/whoami')
export class WhoamiController {
  @Get()
  @RequiresNoScope()
  @ApiOperation({
    summary: 'The caller of this request',
    description: 'Its id, its account and what it may do. Every key and every token may ask.',
  })
  @ApiOkResponse({ standardSchema: CallerBody, description: 'The caller.' })
  @Problems()
  whoami(@RequestCaller() caller: Caller): CallerBody {
    return toCallerBody(caller);
  }
}
