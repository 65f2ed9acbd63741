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
import { KnownPaths } from './known-paths.js';
import { credentialsRefused, scopeMissing } from './refusals.js';
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

/** What says whether the API can be used at all. */
export interface Gate {
  /** Why it cannot be used now. */
  readonly closed: Problem | undefined;
}

/** To be called before any route is added. */
export function guardRoutes(fastify: FastifyInstance, guards: Guards, gate: Gate): void {
  const paths = new KnownPaths();
  fastify.decorateRequest('caller', null);
  fastify.addHook('onRoute', (route) => {
    const access = declaredAccess(route);
    route.config = { ...route.config, access };
    paths.add(route.url, route.method, access);
  });
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config;
    const served = access !== undefined && guards.doors.serves(access.door, request.socket.localPort);
    if (served && access.door !== 'api') {
      done();
      return;
    }
    const refused = gate.closed ?? wrongHost(request);
    if (refused !== undefined) {
      done(refused);
      return;
    }
    const visible = (other: Access, caller: Caller): boolean =>
      guards.doors.serves(other.door, request.socket.localPort) && isVisible(other, caller);
    const enter = (caller: Caller): void => {
      request.caller = caller;
      if (access === undefined) throw notServed(paths.methodsOf(request.raw.url, (other) => visible(other, caller)));
      if (access.door !== 'api' || !visible(access, caller)) throw notServed([]);
      if (!isScope(access.scope) || !caller.scopes.has(access.scope)) throw scopeMissing(access.scope);
    };
    settle(() => identify(request, guards), enter, done);
  });
}

/** RFC 9112 has HTTP/1.1 require one. Node answers a missing one without a problem, and keeps the first of several. */
function wrongHost({ raw }: FastifyRequest): Problem | undefined {
  if (timesGiven(raw.rawHeaders, 'host') > 1) {
    return new Problem('bad-request', 'there is more than one header Host', { close: true });
  }
  if (raw.httpVersion !== '1.1' || raw.headers.host !== undefined) return undefined;
  return new Problem('bad-request', 'the header Host is missing', { close: true });
}

/** The cluster is everybody's, and so no business of those who are bound to an account. */
function isVisible(access: Access, { account }: Caller): boolean {
  return access.door === 'api' && (account === undefined || access.scope !== 'cluster:manage');
}

/** `methods`: those of the path, if there are any. */
function notServed(methods: readonly string[]): Problem {
  if (methods.length === 0) return new Problem('not-found', 'this is not served here');
  return new Problem('method-not-allowed', `this path has ${methods.join(', ')}`, { allow: methods });
}

/** Who calls, and that it does not call too often. @throws Problem */
function identify(request: FastifyRequest, { authenticator, limits }: Guards): Caller | Promise<Caller> {
  if (limits.none) return whoCalls(request, authenticator);
  return counted(request, authenticator, limits);
}

/**
 * Those who are not let in count as well, for their address. A token costs the check of a signature, so the address of
 * who presents one is counted before it is looked at; a key costs next to nothing, and both are counted at once.
 */
async function counted(
  request: FastifyRequest,
  authenticator: Authenticator | undefined,
  limits: RequestLimits,
): Promise<Caller> {
  let address: Promise<void> | undefined;
  const countAddress = (): Promise<void> => (address ??= limits.countAddress(request.ip));
  let caller: Caller;
  try {
    caller = await whoCalls(request, authenticator, countAddress);
  } catch (error) {
    await countAddress();
    throw error;
  }
  await Promise.all([countAddress(), limits.countCaller(caller)]);
  return caller;
}

function whoCalls(
  request: FastifyRequest,
  authenticator: Authenticator | undefined,
  beforeToken?: () => Promise<void>,
): Caller | Promise<Caller> {
  if (authenticator !== undefined) {
    // Node keeps the first and drops the others; a proxy in front may have looked at another one.
    if (timesGiven(request.raw.rawHeaders, 'authorization') > 1) {
      throw credentialsRefused('there is more than one Authorization header');
    }
    return authenticator.callerOf(request.headers.authorization, beforeToken);
  }
  assertSameSite(request);
  return ANYBODY;
}

/** `headers`: names and values in turn. */
function timesGiven(headers: readonly string[], wanted: string): number {
  let times = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.length === wanted.length && name.toLowerCase() === wanted) times++;
  }
  return times;
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
  if (access.door === 'api' && changes && access.act === undefined) {
    throw new UndeclaredRouteError(
      `${name} does not name what is done by it: add it to its @Requires, for the audit log`,
    );
  }
  return access;
}
