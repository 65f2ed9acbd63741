/**
 * `Expect: 100-continue`: a caller is asked for its body only when the body is wanted, so that one that is not let in,
 * or sends too much, hears so before it has sent anything.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { answerOf, pathOf } from './problem-answer.js';
import { Problem } from './problem.js';
import { requestIdOf } from './request-id.js';
import { DATA_HEADERS } from './secure-headers.js';

/** Requests whose callers wait to be asked. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>();

export function holdBodies(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response);
    // A caller that was not asked may send its body all the same, or the next request.
    response.setHeader('connection', 'close');
    server.emit('request', request, response);
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const problem = new Problem('expectation-failed', 'the only expectation that is met is 100-continue', {
      close: true,
    });
    const requestId = requestIdOf(request);
    const { status, headers, body } = answerOf(problem, pathOf(request.url), requestId);
    const all = { ...DATA_HEADERS, ...headers, 'x-request-id': requestId, 'content-length': Buffer.byteLength(body) };
    response.writeHead(status, all).end(body);
  });
}

/** Has the caller send its body, if it waits to be asked. */
export function askForBody(request: IncomingMessage): void {
  const response = waiting.get(request);
  if (response === undefined) return;
  waiting.delete(request);
  response.removeHeader('connection');
  response.writeContinue();
}
