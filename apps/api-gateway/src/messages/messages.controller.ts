import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { LOGGER, SETTINGS, type Logger } from '@app/platform';
import { ConnectionDirectory, Messages, isFinalStatus, type NewMessage, type StoredMessage } from '@app/registry';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { auditLog, auditOf } from '../access/audit.js';
import { RequestCaller, type Caller } from '../access/caller.js';
import { RequestLimits } from '../access/request-limits.js';
import { Requires } from '../access/scopes.js';
import { credentialsRefused } from '../access/refusals.js';
import { gatewayStops } from '../http/availability.js';
import { Problem, Problems, unknownConnection } from '../http/problem.js';
import { IdempotencyKey, PreferredWait, RequestId } from '../http/request-headers.js';
import { ClientIdParam, MessageIdParam } from '../http/validation.js';
import { FinalWaits } from './final-waits.js';
import { MessageSender } from './message-sender.js';
import { acceptedAudit, sendBatch, type Accepted } from './message-batch.js';
import {
  AcceptedMessageBody,
  BatchBody,
  BatchResultBody,
  MESSAGE_CURSOR,
  MessageBody,
  MessageListQuery,
  MessagePageBody,
  SendMessageBody,
  toAcceptedBody,
  toMessageBody,
  toNewMessage,
} from './message.dto.js';
import type { MessagesSettings } from './messages.settings.js';
import { PREFERENCE_APPLIED, PreferWait } from './prefer-wait.js';
import { refusal } from './refusal.js';
import type { Wait } from './waits.js';

const ACCEPTED_HEADERS = {
  Location: { description: 'Path of the message', schema: { type: 'string' } },
  'Idempotency-Replayed': {
    description: '`true` if this is the first answer to the same Idempotency-Key, and nothing new is sent',
    schema: { type: 'string' },
  },
} as const;

@ApiTags('Messages')
@Controller('v1')
export class MessagesController {
  private readonly auditLog: Logger;

  constructor(
    private readonly sender: MessageSender,
    private readonly waits: FinalWaits,
    private readonly messages: Messages,
    private readonly directory: ConnectionDirectory,
    private readonly limits: RequestLimits,
    @Inject(SETTINGS) private readonly settings: MessagesSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.auditLog = auditLog(logger);
  }

  @Post('connections/:client_id/messages')
  @Requires('messages:write', 'message.send')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Send a message to a client',
    description:
      'Accepted messages are never lost while Redis keeps its data, are sent in the order of their acceptance, ' +
      'and are published at least once: the client drops repeats by `message_id`. While many messages of the caller are ' +
      'being published, the response comes up to 100 ms later. With `Prefer: wait=N` the response is 200 with the whole ' +
      'message as soon as it is final, and 202 if it is not within N seconds. An accepted message is always answered with ' +
      'one of the two, also if the gateway stops or Redis is away.',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description:
      'A request with the same key within `IDEMPOTENCY_RETENTION` (24 hours) gets the first response and sends nothing. A key is forgotten earlier if its message is, because the finished messages of its shard take too much memory.',
    schema: { type: 'string', minLength: 1, maxLength: 128, example: 'update-17-device-0001' },
  })
  @PreferWait(
    'Waits up to N seconds, 1 to 60, until the message is `answered`, `unanswered`, `failed`, `expired` or `cancelled`. It ' +
      'needs `messages:read` besides `messages:write`.',
  )
  @ApiAcceptedResponse({
    standardSchema: AcceptedMessageBody,
    description: 'Stored; `Location` is the path under which its status can be read.',
    headers: { ...ACCEPTED_HEADERS, ...PREFERENCE_APPLIED },
  })
  @ApiOkResponse({
    standardSchema: MessageBody,
    description: 'With `Prefer: wait=N`: the message is final.',
    headers: { ...ACCEPTED_HEADERS, ...PREFERENCE_APPLIED },
  })
  @Problems(
    'uri-too-long',
    'malformed-json',
    'unknown-connection',
    'client-offline',
    'too-large',
    'unsupported-media-type',
    'invalid',
    'idempotency-mismatch',
    'outbox-full',
    'shard-full',
    'account-full',
    'storage-full',
  )
  async sendMessage(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @Body({ schema: SendMessageBody }) body: SendMessageBody,
    @IdempotencyKey() idempotencyKey: string | undefined,
    @PreferredWait() seconds: number | undefined,
    @RequestId() requestId: string,
    @RequestCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    request.audit = { directive: body.directive };
    const wait = this.waits.begin(caller, seconds, reply.raw);
    try {
      const outcome = await this.accept(clientId, body, { idempotencyKey, requestId }, request, caller, wait);
      body.payload = undefined;
      if (outcome.replayed) reply.header('idempotency-replayed', 'true');
      reply.header('location', `/v1/messages/${outcome.message.messageId}`);
      const final = wait && (await this.untilFinal(wait, outcome, request, reply));
      if (final === undefined) reply.status(202).send(toAcceptedBody(outcome.message));
      else reply.status(200).send(final);
    } finally {
      if (wait !== undefined) this.waits.close(wait);
    }
  }

  @Post('messages')
  @Requires('messages:write', 'message.send')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Send up to 1,000 messages',
    description:
      'Each message is accepted or refused individually; the messages of one client are accepted in order. ' +
      'The response is 200 even if messages were refused.',
  })
  @ApiOkResponse({ standardSchema: BatchResultBody, description: 'The outcome of each message, in order.' })
  @Problems('malformed-json', 'too-large', 'unsupported-media-type', 'invalid')
  async sendMessages(
    @Body({ schema: BatchBody }) { messages }: BatchBody,
    @RequestId() requestId: string,
    @RequestCaller() caller: Caller,
    @Req() request: FastifyRequest,
  ): Promise<BatchResultBody> {
    await this.limits.countCost(caller, { messages: messages.length, bytes: request.bodyReservation?.bytes ?? 0 });
    const { results, audit, inFlight } = await sendBatch(messages, requestId, caller, this.sender, this.settings);
    request.audit = 'by item';
    request.inFlight = inFlight;
    // The members that all lines have in common are serialized once.
    const log = this.auditLog.child({ ...auditOf(request), action: 'message.send' });
    for (const item of audit) log.info(item, 'audit');
    return { results };
  }

  @Get('connections/:client_id/messages')
  @Requires('messages:read')
  @ApiOperation({
    summary: 'The messages of a client, the newest first',
    description:
      'All messages that are kept: unfinished ones, and finished ones for `MESSAGE_RETENTION`. With `status`, or with ' +
      'long histories, a page may have fewer items than its limit, and a next page may follow.',
  })
  @ApiOkResponse({ standardSchema: MessagePageBody, description: 'A page of messages.' })
  @Problems('uri-too-long', 'unknown-connection', 'invalid')
  async listMessages(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @Query({ schema: MessageListQuery }) { status, limit, cursor }: MessageListQuery,
    @RequestCaller() caller: Caller,
  ): Promise<MessagePageBody> {
    const { account } = caller;
    await this.limits.countCost(caller, { items: limit });
    const { messages, next } = await this.messages.list(clientId, limit, status, cursor, account);
    // Messages may be kept longer than their connection.
    if (messages.length === 0 && next === undefined && (await this.directory.find(clientId, account)) === undefined) {
      throw unknownConnection(clientId);
    }
    return {
      data: messages.map(toMessageBody),
      next_cursor: MESSAGE_CURSOR.encode(next),
    };
  }

  @Get('messages/:message_id')
  @Requires('messages:read')
  @ApiOperation({
    summary: 'The status of a message',
    description: 'With its answer and its history. A finished message is kept for `MESSAGE_RETENTION`.',
  })
  @PreferWait(
    'Waits up to N seconds, 1 to 60, until the message is `answered`, `unanswered`, `failed`, `expired` or `cancelled`.',
  )
  @ApiOkResponse({
    standardSchema: MessageBody,
    description: 'The message; after `Prefer: wait=N` as it is then, final or not.',
    headers: PREFERENCE_APPLIED,
  })
  @Problems('uri-too-long', 'unknown-message', 'invalid')
  async readMessage(
    @Param('message_id', { schema: MessageIdParam }) messageId: string,
    @PreferredWait() seconds: number | undefined,
    @RequestCaller() caller: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<MessageBody> {
    const wait = this.waits.begin(caller, seconds, reply.raw);
    if (wait === undefined) return this.read(messageId, caller);
    try {
      const outcome = await this.waits.register(wait, messageId);
      if (outcome === 'unknown') throw unknownMessage(messageId);
      if (outcome === 'full') return await this.read(messageId, caller);
      reply.header('preference-applied', `wait=${wait.seconds}`);
      const result = await this.waits.untilFinal(wait, messageId, { readFirst: true });
      if (result.kind !== 'read') throw endOfWait(result.kind);
      return bodyOf(messageId, result.message);
    } finally {
      this.waits.close(wait);
    }
  }

  @Delete('messages/:message_id')
  @Requires('messages:write', 'message.cancel')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Cancel a message that is queued or held',
    description: 'It is not sent. A message that is being published, or is final, stays as it is: 409.',
  })
  @ApiNoContentResponse({ description: 'The message is cancelled.' })
  @Problems('uri-too-long', 'unknown-message', 'conflict', 'invalid')
  async cancelMessage(
    @Param('message_id', { schema: MessageIdParam }) messageId: string,
    @RequestCaller() { account }: Caller,
  ): Promise<void> {
    const outcome = await this.messages.cancel(messageId, account);
    if (outcome.kind === 'unknown') throw unknownMessage(messageId);
    if (outcome.kind === 'too-late') {
      throw new Problem('conflict', `the message is ${outcome.status} and can no longer be cancelled`);
    }
  }

  /** Accepts a message. Its payload is in memory until this ends, and no longer. @throws Problem */
  private async accept(
    clientId: string,
    body: SendMessageBody,
    ids: Pick<NewMessage, 'idempotencyKey' | 'requestId'>,
    request: FastifyRequest,
    caller: Caller,
    wait: Wait | undefined,
  ): Promise<Accepted> {
    const message = toNewMessage(clientId, body, ids, this.settings);
    await this.limits.countCost(caller, { bytes: message.payloadJson?.length ?? 0 });
    const { outcomes, inFlight } = await this.sender.send([message], caller, wait && this.waits.registration(wait));
    const [outcome] = outcomes;
    if (outcome?.kind !== 'accepted') throw refusal(clientId, outcome ?? { kind: 'unreachable' }, this.settings);
    request.audit = acceptedAudit(outcome);
    request.inFlight = inFlight;
    return outcome;
  }

  /** Waits for an accepted message, and never fails. @returns undefined if the message is not known to be final */
  private async untilFinal(
    wait: Wait,
    { message: { messageId, clientId }, replayed }: Accepted,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<MessageBody | undefined> {
    // While a request waits, its body must not take memory.
    request.bodyReservation?.release();
    request.body = undefined;
    // A gateway that is killed during the wait must not take the line with it.
    const about = { ...auditOf(request), client_id: clientId, action: 'message.send', outcome: 'done', status: 202 };
    this.auditLog.info({ ...about, ...(request.audit as object) }, 'audit');
    request.audit = 'by item';
    try {
      if (replayed && (await this.waits.register(wait, messageId)) !== 'registered') return undefined;
      reply.header('preference-applied', `wait=${wait.seconds}`);
      // Its caller has waited already.
      request.inFlight = 0;
      const result = await this.waits.untilFinal(wait, messageId, { readFirst: replayed });
      const message = result.kind === 'read' ? result.message : undefined;
      return message !== undefined && isFinalStatus(message.status) ? toMessageBody(message) : undefined;
    } catch (error) {
      this.logger.warn(
        { err: error, message_id: messageId },
        'an accepted message could not be read at the end of a wait',
      );
      return undefined;
    }
  }

  private async read(messageId: string, { account }: Caller): Promise<MessageBody> {
    return bodyOf(messageId, await this.messages.read(messageId, account));
  }
}

/** Why a wait for a stored message ended without the message. */
function endOfWait(by: 'left' | 'credentials' | 'stopping'): Problem {
  switch (by) {
    case 'left':
      return new Problem('bad-request', 'the caller has left', { close: true });
    case 'credentials':
      return credentialsRefused('the credentials have expired or were revoked during the wait');
    case 'stopping':
      return gatewayStops();
  }
}

/** @throws Problem */
function bodyOf(messageId: string, message: StoredMessage | undefined): MessageBody {
  if (message === undefined) throw unknownMessage(messageId);
  return toMessageBody(message);
}

function unknownMessage(messageId: string): Problem {
  return new Problem('unknown-message', `there is no message "${messageId}", or it is no longer kept`);
}
