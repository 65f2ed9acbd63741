/** Sends back the request id, and measures every request by its route. */
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
    // The time for which an event stream is open is not a response time, nor is that of a request that waited for a message.
    const isStream = String(reply.getHeader('content-type')).startsWith('text/event-stream');
    const hasWaited = reply.getHeader('preference-applied') !== undefined;
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: reply.statusCode };
    if (!isStream && !hasWaited) requestTime.observe(labels, reply.elapsedTime / 1000);
    done();
  });
}
