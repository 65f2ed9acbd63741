import { Controller, Get, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { readCluster } from '@app/sharding';
import { Requires } from '../access/scopes.js';
import { GATEWAY_PARTS, type GatewayParts } from '../gateway.js';
import { Problems } from '../http/problem.js';
import { ClusterBody, toClusterBody } from './cluster.dto.js';

@ApiTags('Cluster')
@Controller('v1/cluster')
export class ClusterController {
  constructor(@Inject(GATEWAY_PARTS) private readonly parts: GatewayParts) {}

  @Get()
  @Requires('cluster:manage')
  @ApiOperation({
    summary: 'Members, shards and lanes',
    description: 'Which ingesters take part, which of them acts for each shard and lane, and what waits for them.',
  })
  @ApiOkResponse({ standardSchema: ClusterBody })
  @Problems()
  async getCluster(): Promise<ClusterBody> {
    const { redis, keys, shardCount } = this.parts;
    return toClusterBody(await readCluster(redis, keys, shardCount));
  }
}
