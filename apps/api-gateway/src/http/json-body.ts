/** Reads the bodies of requests: JSON in UTF-8, within the limits of the route, its caller, and the gateway. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BodyBudget, BodyReservation } from './body-budget.js';
import { askForBody } from './expectations.js';
import { assertJson } from './media-type.js';
import { Problem } from './problem.js';

/** The body that a route accepts. */
export interface RouteBody {
  /** Most bytes. */
  limit: number;
  /** Reads a body in UTF-8; the default is `JSON.parse`. @throws Problem; SyntaxError if it is no JSON */
  read?(json: Buffer): unknown;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    body?: RouteBody;
  }
  interface FastifyRequest {
    /** The reservation of its body in the budget; null if it has no body. */
    bodyReservation: BodyReservation | null;
  }
}

/** Most bytes that are read for an operation without a body. */
const UNUSED_BODY_LIMIT = 8192;

/** Some editors write it at the beginning of a file; it is not part of the JSON. */
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/** `bodies`: by `<METHOD> <path>`. Call it after the hooks of the guard, and before any route is added. */
export function takeBodies(
  fastify: FastifyInstance,
  bodies: Readonly<Record<string, RouteBody>>,
  budget: BodyBudget,
): void {
  fastify.decorateRequest('bodyReservation', null);
  fastify.addHook('onRoute', (route) => {
    const body = bodies[`${String(route.method)} ${route.url}`];
    if (body !== undefined) route.config = { ...route.config, body };
    route.bodyLimit = body?.limit ?? UNUSED_BODY_LIMIT;
  });
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { headers } = request.raw;
    const length = headers['content-length'];
    if (headers['transfer-encoding'] === undefined && (length === undefined || length === '0')) {
      // An operation without a body accepts an empty one with any content type.
      if (request.routeOptions.config.body === undefined) delete headers['content-type'];
      done();
      return;
    }
    try {
      admit(request, Number(length ?? 0), budget);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  });
  // This hook runs when the handler has ended, even if the caller has left.
  fastify.addHook('onSend', (request, _reply, _payload, done) => {
    request.bodyReservation?.release();
    done();
  });
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', (request, payload, done) => {
    read(request, payload).then((body) => done(null, body), done);
  });
}

/** Checks the headers, and reserves `Content-Length` bytes before a byte is read. @throws Problem */
function admit(request: FastifyRequest, length: number, budget: BodyBudget): void {
  const { config } = request.routeOptions;
  const limit = config.body?.limit ?? UNUSED_BODY_LIMIT;
  if (length > limit) throw tooLarge(limit);
  if (config.body !== undefined) assertJson(request.raw.headers);
  const reservation = budget.open(request.caller?.id ?? '');
  reservation.growTo(length);
  request.bodyReservation = reservation;
}

/** @returns undefined for an empty body of an operation without one @throws Problem */
async function read(request: FastifyRequest, payload: IncomingMessage): Promise<unknown> {
  const { body: accepted } = request.routeOptions.config;
  askForBody(request.raw);
  const bytes = await gather(payload, accepted?.limit ?? UNUSED_BODY_LIMIT, request.bodyReservation);
  if (accepted === undefined) {
    if (bytes.length === 0) return undefined;
    assertJson(request.raw.headers);
  }
  if (bytes.length === 0) throw new Problem('malformed-json', 'the body is empty; this operation needs one');
  if (!isUtf8(bytes)) throw new Problem('malformed-json', 'the body is not UTF-8');
  // The first byte says as a rule that there is none: to compare the bytes costs much more.
  const hasMark = bytes[0] === BYTE_ORDER_MARK[0] && bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  const json = hasMark ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
  try {
    return accepted?.read === undefined ? (JSON.parse(json.toString()) as unknown) : accepted.read(json);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Problem('malformed-json', 'the body is not valid JSON');
  }
}

/** Reads all bytes of a body. @throws Problem if there are too many, or the connection ends first */
function gather(payload: IncomingMessage, limit: number, reservation: BodyReservation | null): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      chunks.push(chunk);
      if (length > limit) {
        fail(tooLarge(limit));
        return;
      }
      try {
        reservation?.growTo(length);
      } catch (error) {
        fail(error as Error);
      }
    };
    const onEnd = (): void =>
      finish(() => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    const onBroken = (): void =>
      fail(new Problem('bad-request', 'the connection ended before the body did', { close: true }));
    const fail = (error: Error): void => finish(() => reject(error));
    const finish = (end: () => void): void => {
      payload.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken);
      // Ignore later errors of the connection.
      payload.on('error', () => undefined);
      end();
    };
    payload.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken);
  });
}

function tooLarge(limit: number): Problem {
  return new Problem('too-large', `the body is larger than ${limit} bytes`, { close: true });
}
