/**
 * The one guard of every route, in front of everything else: who calls, how often, and whether it may is known before
 * a byte of the body is read. Nothing is open by omission: a route that declares no access ends the start, and a path
 * that leads nowhere asks for credentials as well.
 */
import type { Access } from '@app/platform';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { Problem } from '../http/problem.js';
import type { Authenticator } from './authenticator.js';
import { ANYBODY, type Caller } from './caller.js';
import type { Doors } from './doors.js';
import { scopeMissing } from './refusals.js';
import type { RequestLimits } from './request-limits.js';
import { assertSameSite } from './same-site.js';
import { isScope } from './scopes.js';

/** Routes that the frame adds by itself, without a handler to stand beside. */
const DOCUMENTS = /^\/(docs(\/|$)|openapi\.json$)/;

export class UndeclaredRouteError extends Error {
  override readonly name = 'UndeclaredRouteError';
}

export const GUARDS = Symbol('GUARDS');

export interface Guards {
  /** Undefined where no credentials are asked for. */
  authenticator: Authenticator | undefined;
  limits: RequestLimits;
  doors: Doors;
}

/** To be called before any route is added. */
export function guardRoutes(fastify: FastifyInstance, guards: Guards): void {
  fastify.decorateRequest('caller', null);
  fastify.addHook('onRoute', (route) => {
    route.config = { ...route.config, access: declaredAccess(route) };
  });
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config;
    const served = access !== undefined && guards.doors.serves(access.door, request.socket.localPort);
    if (served && access.door !== 'api') {
      done();
      return;
    }
    const enter = (caller: Caller): void => {
      request.caller = caller;
      if (access === undefined) return;
      if (!served || access.door !== 'api') throw new Problem('not-found', 'this is not served here');
      // The cluster is everybody's, and so no business of those who are bound to an account.
      if (caller.account !== undefined && access.scope === 'cluster:manage') {
        throw new Problem('not-found', 'this is not served here');
      }
      if (!isScope(access.scope) || !caller.scopes.has(access.scope)) throw scopeMissing(access.scope);
    };
    settle(() => identify(request, guards), enter, done);
  });
}

/** Who calls, and that it does not call too often. @throws Problem */
function identify(request: FastifyRequest, { authenticator, limits }: Guards): Caller | Promise<Caller> {
  if (limits.none) return whoCalls(request, authenticator);
  return counted(request, authenticator, limits);
}

/** Those who are not let in count as well, for their address. */
async function counted(
  request: FastifyRequest,
  authenticator: Authenticator | undefined,
  limits: RequestLimits,
): Promise<Caller> {
  let caller: Caller;
  try {
    caller = await whoCalls(request, authenticator);
  } catch (error) {
    await limits.count(request.ip, undefined);
    throw error;
  }
  await limits.count(request.ip, caller);
  return caller;
}

function whoCalls(request: FastifyRequest, authenticator: Authenticator | undefined): Caller | Promise<Caller> {
  if (authenticator !== undefined) return authenticator.callerOf(request.headers.authorization);
  assertSameSite(request);
  return ANYBODY;
}

/** Goes on at once where the caller is known at once, which is the common case. */
function settle(
  find: () => Caller | Promise<Caller>,
  enter: (caller: Caller) => void,
  done: (error?: Error) => void,
): void {
  let failure: Error | undefined;
  try {
    const found = find();
    if (found instanceof Promise) {
      found.then(enter).then(() => done(), done);
      return;
    }
    enter(found);
  } catch (error) {
    failure = error as Error;
  }
  done(failure);
}

/** @throws UndeclaredRouteError */
function declaredAccess({ method, url, config }: RouteOptions): Access {
  const access = config?.access ?? (DOCUMENTS.test(url) ? ({ door: 'management' } as const) : undefined);
  const name = `${String(method)} ${url}`;
  if (access === undefined) {
    throw new UndeclaredRouteError(`${name} does not say who may call it: put @Requires(scope) beside its handler`);
  }
  const changes = !['GET', 'HEAD'].includes(String(method));
  if (access.door === 'api' && changes && access.scope.endsWith(':manage') && access.act === undefined) {
    throw new UndeclaredRouteError(
      `${name} does not name what is done by it: add it to its @Requires, for the audit log`,
    );
  }
  return access;
}
