import { fastify, type FastifyContextConfig, type FastifyInstance } from 'fastify';
import { quiet } from '../../../../test/support/servers.js';
import { ListenerPolicy } from './listener-policy.js';
import { RequestLimits } from './request-limits.js';
import { UndeclaredRouteError, guardRoutes } from './route-guard.js';
import type { Authenticator } from './authenticator.js';
import type { Caller } from './caller.js';
import type { Scope } from './scopes.js';

/** Without limits it does not use Redis. */
const NO_LIMITS = new RequestLimits(undefined as never, 'unused', { perKey: 0, perAddress: 0 }, quiet);

/** `caller`: the caller of all requests; without it no credentials are required. */
function guarded(caller?: Caller): FastifyInstance {
  const app = fastify();
  const authenticator = caller && ({ authenticate: () => caller } as unknown as Authenticator);
  guardRoutes(
    app,
    { authenticator, limits: NO_LIMITS, listeners: new ListenerPolicy({ NODE_ENV: 'development' }) },
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

/** The status of a request by a caller with these scopes. */
async function statusFor(scope: string | null, scopes: Scope[], account?: string): Promise<number> {
  const app = guarded({ id: 'key:a', scopes: new Set(scopes), ...(account !== undefined && { account }) });
  add(app, 'GET', { access: { audience: 'api', scope } });
  return (await app.inject({ url: '/v1/things', headers: { host: '127.0.0.1' } })).statusCode;
}

it('guardRoutes() admits a caller whose scope contains the required one, and not the other way round', async () => {
  expect(await statusFor('cluster:read', ['cluster:manage'])).toBe(200);
  expect(await statusFor('cluster:read', ['cluster:read'])).toBe(200);
  expect(await statusFor('cluster:manage', ['cluster:read'])).toBe(403);
  expect(await statusFor('messages:read', ['cluster:manage'])).toBe(403);
});

it.each(['cluster:read', 'cluster:manage'])(
  'guardRoutes() hides a route that requires %s from callers of an account',
  async (scope) => {
    expect(await statusFor(scope, ['cluster:read', 'cluster:manage'], 'a')).toBe(404);
  },
);

it('guardRoutes() admits every caller if a route requires no scope', async () => {
  expect(await statusFor(null, [])).toBe(200);
  expect(await statusFor(null, [], 'a')).toBe(200);
});
