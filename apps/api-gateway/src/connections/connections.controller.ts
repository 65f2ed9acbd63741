import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { ApiAcceptedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { SETTINGS } from '@app/platform';
import { shardOf } from '@app/protocol';
import { ConnectionDirectory, type Connection } from '@app/registry';
import type { FastifyRequest } from 'fastify';
import { RequestCaller, type Caller } from '../access/caller.js';
import { RequestLimits } from '../access/request-limits.js';
import { Requires } from '../access/scopes.js';
import { Problems, unknownConnection } from '../http/problem.js';
import { SummaryBody, toSummaryBody } from '../http/summary.dto.js';
import { ClientIdParam } from '../http/validation.js';
import { ConnectionCommands } from './connection-commands.js';
import {
  CONNECTION_CURSOR,
  ConnectionBody,
  ConnectionPageBody,
  ForceDisconnectBody,
  ForcedOffBody,
  ListQuery,
  VerificationBody,
  refusedUntil,
  toConnectionBody,
  toFilter,
} from './connection.dto.js';
import type { ConnectionsSettings } from './connections.settings.js';

@ApiTags('Connections')
@Controller('v1/connections')
export class ConnectionsController {
  constructor(
    private readonly directory: ConnectionDirectory,
    private readonly commands: ConnectionCommands,
    private readonly limits: RequestLimits,
    @Inject(SETTINGS) private readonly settings: ConnectionsSettings,
  ) {}

  @Get()
  @Requires('connections:read')
  @ApiOperation({
    summary: 'List connections',
    description:
      'By state, type, reason for being offline, first characters of the client id, held messages, refusal and exact facts; all of ' +
      'them must match. A page looks at about 2 MiB of connections, so it may have fewer items than its limit, even none, and a ' +
      'next page may follow.',
  })
  @ApiOkResponse({ standardSchema: ConnectionPageBody, description: 'A page of connections.' })
  @Problems('invalid')
  async listConnections(
    @Query({ schema: ListQuery }) query: ListQuery,
    @RequestCaller() caller: Caller,
  ): Promise<ConnectionPageBody> {
    const { account } = caller;
    await this.limits.countCost(caller, { items: query.limit });
    const filter = { ...toFilter(query), ...(account !== undefined && { account }) };
    const { connections, next } = await this.directory.list(filter, query.limit, query.cursor);
    return { data: await this.toBodies(connections), next_cursor: CONNECTION_CURSOR.encode(next) };
  }

  @Get('summary')
  @Requires('connections:read')
  @ApiOperation({
    summary: 'Count connections by state and type',
    description: 'A caller that is bound to an account gets the numbers of its account.',
  })
  @ApiOkResponse({ standardSchema: SummaryBody, description: 'The numbers.' })
  @Problems()
  async summarizeConnections(@RequestCaller() { account }: Caller): Promise<SummaryBody> {
    return toSummaryBody(await this.directory.summary(account));
  }

  @Get(':client_id')
  @Requires('connections:read')
  @ApiOperation({
    summary: 'One connection',
    description: 'The state of a client, and the facts of its last accepted handshake.',
  })
  @ApiOkResponse({ standardSchema: ConnectionBody, description: 'The connection.' })
  @Problems('uri-too-long', 'unknown-connection', 'invalid')
  async getConnection(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @RequestCaller() { account }: Caller,
  ): Promise<ConnectionBody> {
    const connection = await this.directory.find(clientId, account);
    const [body] = connection === undefined ? [] : await this.toBodies([connection]);
    if (body === undefined) throw unknownConnection(clientId);
    return body;
  }

  @Post(':client_id/force-disconnect')
  @Requires('connections:manage', 'connection.force_disconnect')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Disconnect a client',
    description:
      'Tells the client to disconnect and refuses its handshakes until `reconnect_after`. ' +
      "The connection's state changes when the client is gone.",
  })
  @ApiAcceptedResponse({
    standardSchema: ForcedOffBody,
    description: 'The refusal is in force, and the client is being notified.',
  })
  @Problems(
    'uri-too-long',
    'unknown-connection',
    'conflict',
    'invalid',
    'malformed-json',
    'too-large',
    'unsupported-media-type',
  )
  async forceDisconnect(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @Body({ schema: ForceDisconnectBody }) body: ForceDisconnectBody,
    @RequestCaller() { account }: Caller,
    @Req() request: FastifyRequest,
  ): Promise<ForcedOffBody> {
    request.audit = { reconnect_after: body.reconnect_after };
    await this.commands.send(clientId, { do: 'force-disconnect', reconnect_after: body.reconnect_after }, account);
    const connection = await this.directory.find(clientId, account);
    return { client_id: clientId, refused_until: refusedUntil(connection?.refused_until ?? null, Date.now()) };
  }

  @Post(':client_id/verify')
  @Requires('connections:manage', 'connection.verify')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Compare a connection with the broker',
    description:
      'Reads what the broker retains for the client now and corrects the registry if it differs. ' +
      'If the client keeps changing its state, this may take longer than the request can wait.',
  })
  @ApiOkResponse({ standardSchema: VerificationBody, description: 'What the comparison has found.' })
  @Problems('uri-too-long', 'unknown-connection', 'invalid')
  async verifyConnection(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @RequestCaller() { account }: Caller,
  ): Promise<VerificationBody> {
    const outcome = await this.commands.send(clientId, { do: 'verify', reason: 'request' }, account);
    if (outcome.kind !== 'verified') throw new Error(`a verification was replied to with the outcome ${outcome.kind}`);
    return {
      client_id: clientId,
      state: outcome.state,
      offline_reason: outcome.offlineReason,
      changed: outcome.changed,
      outcome: outcome.isUnproven === true ? 'unproven' : outcome.changed ? 'corrected' : 'agreed',
    };
  }

  @Delete(':client_id/refusal')
  @Requires('connections:manage', 'connection.lift_refusal')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Accept a refused client again',
    description: 'Ends the refusal window of a force-disconnect, if there is one.',
  })
  @ApiNoContentResponse({ description: 'Handshakes of the client are accepted.' })
  @Problems('uri-too-long', 'unknown-connection', 'invalid')
  async liftRefusal(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @RequestCaller() { account }: Caller,
  ): Promise<void> {
    await this.commands.send(clientId, { do: 'lift-refusal' }, account);
  }

  @Delete(':client_id')
  @Requires('connections:manage', 'connection.forget')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Forget an offline connection',
    description: 'Removes it from the registry. A connection that is online is not forgotten: 409.',
  })
  @ApiNoContentResponse({ description: 'The connection is forgotten.' })
  @Problems('uri-too-long', 'unknown-connection', 'conflict', 'invalid')
  async forgetConnection(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @RequestCaller() { account }: Caller,
  ): Promise<void> {
    await this.commands.send(clientId, { do: 'forget' }, account);
  }

  private async toBodies(connections: readonly Connection[]): Promise<ConnectionBody[]> {
    const held = await this.directory.heldCounts(connections);
    const now = Date.now();
    return connections.map((connection, i) =>
      toConnectionBody(connection, this.shardOf(connection.client_id), held[i] ?? 0, now),
    );
  }

  private shardOf(clientId: string): number {
    return shardOf(clientId, this.settings.SHARD_COUNT);
  }
}
