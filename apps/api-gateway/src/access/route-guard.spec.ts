import { fastify, type FastifyContextConfig, type FastifyInstance } from 'fastify';
import { quiet } from '../../../../test/support/servers.js';
import { ListenerPolicy } from './listener-policy.js';
import { RequestLimits } from './request-limits.js';
import { UndeclaredRouteError, guardRoutes } from './route-guard.js';

/** Without limits it does not use Redis. */
const NO_LIMITS = new RequestLimits(undefined as never, 'unused', { perKey: 0, perAddress: 0 }, quiet);

function guarded(): FastifyInstance {
  const app = fastify();
  guardRoutes(
    app,
    { authenticator: undefined, limits: NO_LIMITS, listeners: new ListenerPolicy({ NODE_ENV: 'development' }) },
    { closed: undefined },
  );
  return app;
}

function add(app: FastifyInstance, method: 'GET' | 'POST', config?: FastifyContextConfig): void {
  app.route({ method, url: '/v1/things', ...(config && { config }), handler: () => 'ok' });
}

it('guardRoutes() refuses a route that declares no access', () => {
  expect(() => add(guarded(), 'GET')).toThrow(UndeclaredRouteError);
  expect(() => add(guarded(), 'GET', {})).toThrow('GET /v1/things');
});

it('guardRoutes() refuses a route that changes something and names no action for the audit log', () => {
  const access = { audience: 'api', scope: 'connections:manage' } as const;
  expect(() => add(guarded(), 'POST', { access })).toThrow('audit');
  add(guarded(), 'POST', { access: { ...access, act: 'thing done' } });
  add(guarded(), 'GET', { access });
});

it('guardRoutes() refuses every caller of a route whose scope does not exist', async () => {
  const app = guarded();
  add(app, 'GET', { access: { audience: 'api', scope: 'things:read' } });
  const { statusCode } = await app.inject({ url: '/v1/things', headers: { host: '127.0.0.1' } });
  expect(statusCode).toBe(403);
});
