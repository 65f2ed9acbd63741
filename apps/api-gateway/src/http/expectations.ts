/**
 * `Expect: 100-continue`: the server asks for the body after it has accepted the headers. A caller that is refused gets its
 * response before it sends the body.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { answerOf, pathOf } from './problem-answer.js';
import { Problem } from './problem.js';
import { requestIdOf } from './request-id.js';
import { DATA_HEADERS } from './secure-headers.js';

/** Requests whose callers wait for `100 Continue`. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>();

export function holdBodies(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response);
    // After a refusal, the next bytes may be the body or another request: close the connection.
    response.setHeader('connection', 'close');
    server.emit('request', request, response);
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const problem = new Problem(
      'expectation-failed',
      'the only expectation that this gateway supports is 100-continue',
      {
        close: true,
      },
    );
    const requestId = requestIdOf(request);
    const { status, headers, body } = answerOf(problem, pathOf(request.url), requestId);
    const all = { ...DATA_HEADERS, ...headers, 'x-request-id': requestId, 'content-length': Buffer.byteLength(body) };
    response.writeHead(status, all).end(body);
  });
}

/** Sends `100 Continue` if the caller waits for it. */
export function askForBody(request: IncomingMessage): void {
  const response = waiting.get(request);
  if (response === undefined) return;
  waiting.delete(request);
  response.removeHeader('connection');
  response.writeContinue();
}
