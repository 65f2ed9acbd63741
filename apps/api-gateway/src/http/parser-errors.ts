/** Answers requests with a problem that Node's HTTP parser or Fastify's router refuses before any guard or filter runs. */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '@app/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { answerOf, pathOf } from './problem-answer.js';
import { answer, asProblem } from './problem.filter.js';
import { Problem } from './problem.js';
import { requestIdOf } from './request-id.js';
import { DATA_HEADERS } from './secure-headers.js';

/** `_httpMessage`: the pending response of a connection, kept by Node. */
type ServedSocket = Socket & { _httpMessage?: (ServerResponse & { req: IncomingMessage }) | null };

/** For Fastify's option `clientErrorHandler`, and the event `clientError` of another server. */
export function onParserError(logger: Logger): (error: Error, socket: Socket) => void {
  return (error, socket: ServedSocket) => {
    const pending = socket._httpMessage;
    if ('code' in error && error.code === 'ECONNRESET') socket.destroy();
    // Writing would corrupt a response that has begun.
    else if (!socket.writable || pending?.headersSent === true) socket.destroy();
    else {
      const problem = problemOf('code' in error ? error.code : undefined);
      refuse(logger, problem, pending?.req ?? { headers: {}, url: undefined }, socket);
    }
  };
}

/** For the event `connect` of a server; without a listener Node closes the connection without a response. */
export function onConnect(logger: Logger): (request: IncomingMessage) => void {
  return (request) => {
    // Node has removed its own listeners from the socket.
    request.socket.on('error', () => request.socket.destroy());
    const problem = new Problem('bad-request', 'this gateway is not a proxy: CONNECT is not supported', {
      close: true,
    });
    refuse(logger, problem, request, request.socket);
  };
}

function refuse(
  logger: Logger,
  problem: Problem,
  request: Pick<IncomingMessage, 'headers' | 'url'>,
  socket: Socket,
): void {
  const requestId = requestIdOf(request);
  const path = pathOf(request.url);
  const about = {
    request_id: requestId,
    address: socket.remoteAddress,
    status: problem.status,
    problem: problem.kind,
  };
  logger.info({ ...about, path, detail: problem.detail }, 'request refused');
  socket.end(rawAnswer(problem, path, requestId));
  // Drop what the caller still sends.
  socket.once('finish', () => socket.destroy());
}

/** For Fastify's option `frameworkErrors`. */
export function onRouterError(logger: Logger): (error: Error, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    void reply.headers({ ...DATA_HEADERS, 'x-request-id': request.id });
    answer(asProblem(error), request, reply, logger, error);
  };
}

function problemOf(code: unknown): Problem {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('request-timeout', 'the request took longer than REQUEST_TIMEOUT allows', { close: true });
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('headers-too-large', 'the path and the headers together are too large', { close: true });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Problem('too-large', 'the extensions of the chunks are too large', { close: true });
    default:
      return new Problem('bad-request', 'the request is not HTTP/1.1 as RFC 9112 defines it', { close: true });
  }
}

function rawAnswer(problem: Problem, path: string, requestId: string): string {
  const { status, headers, body } = answerOf(problem, path, requestId);
  const all = { ...DATA_HEADERS, ...headers, 'x-request-id': requestId, 'content-length': Buffer.byteLength(body) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}
