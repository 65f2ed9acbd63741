import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Res } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { SETTINGS } from '@app/platform';
import { Messages } from '@app/registry';
import type { FastifyReply } from 'fastify';
import { unknownConnection } from '../connections/connection-commands.js';
import type { GatewaySettings } from '../gateway.settings.js';
import { Problem, Problems } from '../http/problem.js';
import { IdempotencyKey, RequestId } from '../http/request-headers.js';
import { ClientIdParam, MessageIdParam } from '../http/validation.js';
import { MessageSender } from './message-sender.js';
import { AcceptedMessageBody, MessageBody, SendMessageBody, toAcceptedBody, toMessageBody } from './message.dto.js';

@ApiTags('Messages')
@Controller('v1')
export class MessagesController {
  constructor(
    private readonly sender: MessageSender,
    private readonly messages: Messages,
    @Inject(SETTINGS) private readonly settings: GatewaySettings,
  ) {}

  @Post('connections/:client_id/messages')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Send a message to a client',
    description:
      'Accepted messages are never lost while Redis keeps its data, go out in the order of their acceptance, ' +
      'and are published at least once: the client drops repeats by `message_id`.',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Repeating a request with the same key within 24 hours returns the first answer and sends nothing.',
    schema: { type: 'string', minLength: 1, maxLength: 128 },
  })
  @ApiAcceptedResponse({
    standardSchema: AcceptedMessageBody,
    description: 'Stored; `Location` tells where to read what becomes of it.',
    headers: { Location: { description: 'Path of the message', schema: { type: 'string' } } },
  })
  @Problems(
    'malformed-json',
    'unknown-connection',
    'client-offline',
    'too-large',
    'unsupported-media-type',
    'invalid',
    'idempotency-mismatch',
    'outbox-full',
  )
  async sendMessage(
    @Param('client_id', { schema: ClientIdParam }) clientId: string,
    @Body({ schema: SendMessageBody }) body: SendMessageBody,
    @IdempotencyKey() idempotencyKey: string | undefined,
    @RequestId() requestId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AcceptedMessageBody> {
    const outcome = await this.sender.send({
      clientId,
      directive: body.directive,
      payloadJson: this.payloadOf(body),
      ttlMs: body.ttl_seconds * 1000,
      whenOffline: body.when_offline,
      idempotencyKey,
      requestId,
    });
    switch (outcome.kind) {
      case 'accepted':
        reply.header('location', `/v1/messages/${outcome.message.messageId}`);
        return toAcceptedBody(outcome.message);
      case 'unknown':
        throw unknownConnection(clientId);
      case 'offline':
        throw new Problem(
          'client-offline',
          `"${clientId}" is offline; send with when_offline "hold" to keep the message`,
        );
      case 'full':
        throw new Problem(
          'outbox-full',
          `"${clientId}" has ${this.settings.OUTBOX_LIMIT} unfinished messages; wait until some are sent or expire`,
          { retryAfterSeconds: 10 },
        );
      case 'mismatch':
        throw new Problem('idempotency-mismatch', 'use a new Idempotency-Key for another message');
    }
  }

  @Get('messages/:message_id')
  @ApiOperation({ summary: 'What became of a message' })
  @ApiOkResponse({ standardSchema: MessageBody })
  @Problems('unknown-message', 'invalid')
  async readMessage(@Param('message_id', { schema: MessageIdParam }) messageId: string): Promise<MessageBody> {
    const message = await this.messages.read(messageId);
    if (message === undefined) throw unknownMessage(messageId);
    return toMessageBody(message);
  }

  @Delete('messages/:message_id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Withdraw a message that is queued or held' })
  @ApiNoContentResponse({ description: 'The message is cancelled.' })
  @Problems('unknown-message', 'conflict', 'invalid')
  async cancelMessage(@Param('message_id', { schema: MessageIdParam }) messageId: string): Promise<void> {
    const outcome = await this.messages.cancel(messageId);
    if (outcome.kind === 'unknown') throw unknownMessage(messageId);
    if (outcome.kind === 'too-late') {
      throw new Problem('conflict', `the message is ${outcome.status} and can no longer be cancelled`);
    }
  }

  private payloadOf({ payload }: SendMessageBody): string | undefined {
    if (payload === undefined) return undefined;
    let text: string;
    try {
      text = JSON.stringify(payload);
    } catch {
      throw invalidPayload('nests too deeply');
    }
    if (Buffer.byteLength(text) > this.settings.MAX_PAYLOAD_BYTES) {
      throw new Problem('too-large', `the payload is larger than ${this.settings.MAX_PAYLOAD_BYTES} bytes`);
    }
    return text;
  }
}

function invalidPayload(detail: string): Problem {
  return new Problem('invalid', `/payload: ${detail}`, { errors: [{ pointer: '/payload', detail }] });
}

function unknownMessage(messageId: string): Problem {
  return new Problem('unknown-message', `no message "${messageId}" is kept`);
}
