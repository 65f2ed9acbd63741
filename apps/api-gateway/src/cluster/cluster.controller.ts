import { Controller, Get, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { REDIS, SETTINGS, readMemory, type CommonSettings, type MemoryMark, type Redis } from '@app/platform';
import { BrokerRecords, DeadLetters, Maintenance, RegistryKeys, Sweeps } from '@app/registry';
import { readCluster } from '@app/sharding';
import type { FastifyReply } from 'fastify';
import { RequestCaller, type Caller } from '../access/caller.js';
import { RequestLimits } from '../access/request-limits.js';
import { Requires } from '../access/scopes.js';
import { Problem, Problems } from '../http/problem.js';
import { ClusterBody, toClusterBody } from './cluster.dto.js';
import { DeadLetterPageBody, DeadLettersQuery, toDeadLetterPage } from './dead-letter.dto.js';
import { RequestedSweepBody, SweepBody, SweepIdParam, toRequestedSweepBody, toSweepBody } from './sweep.dto.js';

type ClusterSettings = Pick<CommonSettings, 'SHARD_COUNT'> & { MEMORY_HIGH_WATER: MemoryMark };

@ApiTags('Cluster')
@Controller('v1/cluster')
export class ClusterController {
  constructor(
    @Inject(REDIS) private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly sweeps: Sweeps,
    private readonly broker: BrokerRecords,
    private readonly deadLetters: DeadLetters,
    private readonly maintenance: Maintenance,
    private readonly limits: RequestLimits,
    @Inject(SETTINGS) private readonly settings: ClusterSettings,
  ) {}

  @Get()
  @Requires('cluster:read')
  @ApiOperation({
    summary: 'Members, shards, lanes, Redis and the broker',
    description:
      'The ingesters that are members, the dispatchers and the gateways; the owner of each shard and lane, how many entries wait ' +
      'in each mailbox; the memory of Redis; and what ingesters found out about the broker: its limits, and what it lacks.',
  })
  @ApiOkResponse({ standardSchema: ClusterBody, description: 'The cluster.' })
  @Problems('not-found')
  async getCluster(): Promise<ClusterBody> {
    const [state, broker, masters, deadLetters] = await Promise.all([
      readCluster(this.redis, this.keys, this.settings.SHARD_COUNT),
      this.broker.read(),
      readMemory(this.redis),
      this.deadLetters.count(),
    ]);
    return toClusterBody(state, {
      ...{ broker, masters, deadLetters },
      highWater: this.settings.MEMORY_HIGH_WATER,
    });
  }

  @Post('sweeps')
  @HttpCode(202)
  @Requires('cluster:manage', 'sweep.start')
  @ApiOperation({
    summary: 'Compare the whole registry with the broker',
    description:
      'Reads everything that the broker retains for clients, and corrects the registry if it differs. ' +
      'One sweep runs at a time: if one is running, another one follows.',
  })
  @ApiAcceptedResponse({
    standardSchema: RequestedSweepBody,
    description:
      'A sweep follows; `Location` is the path of its progress. Further requests before it begins get the same sweep.',
    headers: { Location: { description: 'Path of the sweep', schema: { type: 'string' } } },
  })
  @Problems('not-found')
  async startSweep(@Res({ passthrough: true }) reply: FastifyReply): Promise<RequestedSweepBody> {
    const id = await this.sweeps.nextId();
    await this.maintenance.requestSweep('request', 0);
    reply.header('location', `/v1/cluster/sweeps/${id}`);
    return toRequestedSweepBody(id, 'waiting', Date.now());
  }

  @Get('sweeps/latest')
  @Requires('cluster:read')
  @ApiOperation({ summary: 'The last sweep', description: 'Its progress, and what it has corrected.' })
  @ApiOkResponse({ standardSchema: SweepBody, description: 'The sweep.' })
  @Problems('not-found')
  async getLatestSweep(): Promise<SweepBody> {
    const record = await this.sweeps.latest();
    if (record === undefined)
      throw new Problem(
        'not-found',
        'no sweep of this key space has run yet; request one with POST /v1/cluster/sweeps',
      );
    return toSweepBody(record, Date.now());
  }

  @Get('sweeps/:sweep_id')
  @Requires('cluster:read')
  @ApiOperation({
    summary: 'One sweep',
    description: 'Its progress, and what it has corrected. The last 100 sweeps are kept, for 30 days.',
  })
  @ApiOkResponse({ standardSchema: RequestedSweepBody, description: 'The sweep.' })
  @Problems('uri-too-long', 'not-found', 'invalid')
  async getSweep(@Param('sweep_id', { schema: SweepIdParam }) sweepId: string): Promise<RequestedSweepBody> {
    const found = await this.sweeps.find(sweepId.toLowerCase());
    if (found === undefined) throw new Problem('not-found', `no sweep "${sweepId}" is kept`);
    return toRequestedSweepBody(sweepId.toLowerCase(), found, Date.now());
  }

  @Get('dead-letters')
  @Requires('cluster:read')
  @ApiOperation({
    summary: 'Dead letters',
    description:
      'Messages of clients that could not be processed, with the reason: about the newest 1,000 of each shard.',
  })
  @ApiOkResponse({ standardSchema: DeadLetterPageBody, description: 'A page of dead letters.' })
  @Problems('not-found', 'invalid')
  async listDeadLetters(
    @Query({ schema: DeadLettersQuery }) query: DeadLettersQuery,
    @RequestCaller() caller: Caller,
  ): Promise<DeadLetterPageBody> {
    await this.limits.countCost(caller, { items: query.limit });
    return toDeadLetterPage(await this.deadLetters.list(query.limit, query.cursor));
  }
}
