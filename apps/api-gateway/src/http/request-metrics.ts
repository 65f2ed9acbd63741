/** Echoes the request id and measures every request by route, never by path. */
import { secondsHistogram } from '@app/platform';
import type { FastifyInstance } from 'fastify';

const requestTime = secondsHistogram('http_request_duration', 'Time to answer a request.', [
  'method',
  'route',
  'status',
]);

export function measureRequests(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    done();
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    // The time that a stream stays open is no response time.
    const isStream = String(reply.getHeader('content-type')).startsWith('text/event-stream');
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: reply.statusCode };
    if (!isStream) requestTime.observe(labels, reply.elapsedTime / 1000);
    done();
  });
}
