import type { FastifyInstance } from 'fastify';

/** Gives routes, named `<METHOD> <path>`, a limit of their own to the bytes of a body. */
export function limitBodies(fastify: FastifyInstance, limits: Readonly<Record<string, number>>): void {
  fastify.addHook('onRoute', (route) => {
    const limit = limits[`${String(route.method)} ${route.url}`];
    if (limit !== undefined) route.bodyLimit = limit;
  });
}
