/**
 * Guards every route: authenticates the caller, counts the request and checks the scope before a byte of the body is read. No
 * route is open by omission: the gateway does not start with a route that declares no access, and an unknown path requires
 * credentials, too.
 */
import type { Access } from '@app/platform';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { Problem } from '../http/problem.js';
import type { Authenticator } from './authenticator.js';
import { ANONYMOUS, type Caller } from './caller.js';
import { KnownPaths } from './known-paths.js';
import type { Refusal } from './leased-limit.js';
import type { ListenerPolicy } from './listener-policy.js';
import { credentialsRefused, scopeMissing } from './refusals.js';
import type { RequestLimits } from './request-limits.js';
import { assertSameSite } from './same-site.js';
import { includesScope, isClusterScope, isScope } from './scopes.js';

/** Routes that Fastify adds for files. */
const CONSOLE = /^\/console\//;

export class UndeclaredRouteError extends Error {
  override readonly name = 'UndeclaredRouteError';
}

export const GUARDS = Symbol('GUARDS');

export interface Guards {
  /** Undefined if no credentials are required. */
  authenticator: Authenticator | undefined;
  limits: RequestLimits;
  listeners: ListenerPolicy;
}

export interface Gate {
  /** Why the API cannot be used now; undefined if it can. */
  readonly closed: Problem | undefined;
}

/** Call it before any route is added. */
export function guardRoutes(fastify: FastifyInstance, guards: Guards, gate: Gate): void {
  const paths = new KnownPaths();
  fastify.decorateRequest('caller', null);
  fastify.addHook('onRoute', (route) => {
    const access = declaredAccess(route);
    route.config = { ...route.config, access };
    paths.add(route.url, route.method, access);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    const { access } = request.routeOptions.config;
    const served = access !== undefined && guards.listeners.serves(access.audience, request.socket.localPort);
    if (served && access.audience !== 'api') {
      done();
      return;
    }
    if (guards.limits.policy !== undefined) void reply.header('ratelimit-policy', guards.limits.policy);
    const refused = gate.closed ?? wrongHost(request);
    if (refused !== undefined) {
      done(refused);
      return;
    }
    const enter = (caller: Caller): Problem | undefined => {
      request.caller = caller;
      return refusalOf(request, caller, guards.listeners, paths);
    };
    let found: Caller | Promise<Caller>;
    try {
      found = identify(request, guards);
    } catch (error) {
      done(error as Error);
      return;
    }
    // Synchronously if the caller is found synchronously, which is the common case.
    if (found instanceof Promise) found.then(enter).then(done, done);
    else done(enter(found));
  });
}

/** Why this caller may not use the route; undefined if it may. */
function refusalOf(
  request: FastifyRequest,
  caller: Caller,
  listeners: ListenerPolicy,
  paths: KnownPaths,
): Problem | undefined {
  const { access } = request.routeOptions.config;
  const isServed = (other: Access): boolean =>
    isVisible(other, caller) && listeners.serves(other.audience, request.socket.localPort);
  if (access === undefined) return notServed(paths.methodsOf(request.raw.url, isServed));
  if (access.audience !== 'api' || !isServed(access)) return notServed([]);
  const { scope } = access;
  if (scope === null || (isScope(scope) && includesScope(caller.scopes, scope))) return undefined;
  return scopeMissing(scope);
}

/** RFC 9112: an HTTP/1.1 request has one `Host`. Node answers a missing one without a problem, and keeps the first of several. */
function wrongHost({ raw }: FastifyRequest): Problem | undefined {
  if (countHeader(raw.rawHeaders, 'host') > 1) {
    return new Problem('bad-request', 'there is more than one header Host', { close: true });
  }
  if (raw.httpVersion !== '1.1' || raw.headers.host !== undefined) return undefined;
  return new Problem('bad-request', 'the header Host is missing', { close: true });
}

function isVisible(access: Access, { account }: Caller): boolean {
  return access.audience === 'api' && (account === undefined || !isClusterScope(access.scope));
}

/** `methods`: the methods of the path that this caller can see. */
function notServed(methods: readonly string[]): Problem {
  if (methods.length === 0) return new Problem('not-found', 'this is not served here');
  return new Problem('method-not-allowed', `this path has ${methods.join(', ')} only`, { allow: methods });
}

/** Authenticates the caller and counts the request. @throws Problem */
function identify(request: FastifyRequest, { authenticator, limits }: Guards): Caller | Promise<Caller> {
  if (limits.none) return authenticate(request, authenticator);
  return counted(request, authenticator, limits);
}

/**
 * Refused callers are counted as well, for their address. To check a token costs a signature check, so the address is counted
 * before; to look up a key costs almost nothing, so address and key are counted together, as a rule without a wait.
 * @throws Problem
 */
function counted(
  request: FastifyRequest,
  authenticator: Authenticator | undefined,
  limits: RequestLimits,
): Caller | Promise<Caller> {
  let address: { refusal: Refusal | Promise<Refusal> } | undefined;
  const countAddress = (): Refusal | Promise<Refusal> =>
    (address ??= { refusal: limits.countAddress(request.ip) }).refusal;
  let found: Caller | Promise<Caller>;
  try {
    found = authenticate(request, authenticator, countAddress);
  } catch (error) {
    return refused(error, countAddress);
  }
  if (found instanceof Promise) return countedAfter(found, countAddress, limits);
  const [ofAddress, ofKey] = [countAddress(), limits.countCaller(found)];
  if (ofAddress instanceof Promise || ofKey instanceof Promise) {
    const caller = found;
    return Promise.all([ofAddress, ofKey]).then((refusals) => admitted(caller, ...refusals));
  }
  return admitted(found, ofAddress, ofKey);
}

/** A caller that is refused counts for its address. @throws Problem */
async function refused(error: unknown, countAddress: () => Refusal | Promise<Refusal>): Promise<never> {
  throw (await countAddress()) ?? error;
}

/** @throws Problem */
async function countedAfter(
  found: Promise<Caller>,
  countAddress: () => Refusal | Promise<Refusal>,
  limits: RequestLimits,
): Promise<Caller> {
  let caller: Caller;
  try {
    caller = await found;
  } catch (error) {
    return refused(error, countAddress);
  }
  return admitted(caller, await countAddress(), await limits.countCaller(caller));
}

/** @throws Problem */
function admitted(caller: Caller, ofAddress: Refusal, ofKey: Refusal): Caller {
  const refusal = ofAddress ?? ofKey;
  if (refusal !== undefined) throw refusal;
  return caller;
}

function authenticate(
  request: FastifyRequest,
  authenticator: Authenticator | undefined,
  beforeToken?: () => Refusal | Promise<Refusal>,
): Caller | Promise<Caller> {
  if (authenticator !== undefined) {
    // Node keeps the first header and drops the others; a proxy may have checked another one.
    if (countHeader(request.raw.rawHeaders, 'authorization') > 1) {
      throw credentialsRefused('there is more than one Authorization header');
    }
    return authenticator.authenticate(request.headers.authorization, beforeToken);
  }
  assertSameSite(request);
  return ANONYMOUS;
}

/** `headers`: names and values by turns. */
function countHeader(headers: readonly string[], wanted: string): number {
  let times = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.length === wanted.length && name.toLowerCase() === wanted) times++;
  }
  return times;
}

function accessByPath(url: string): Access | undefined {
  return CONSOLE.test(url) ? { audience: 'page' } : undefined;
}

/** @throws UndeclaredRouteError */
function declaredAccess({ method, url, config }: RouteOptions): Access {
  const access = config?.access ?? accessByPath(url);
  const name = `${String(method)} ${url}`;
  if (access === undefined) {
    throw new UndeclaredRouteError(`${name} declares no access: put @Requires(scope) beside its handler`);
  }
  const isWrite = !['GET', 'HEAD'].includes(String(method));
  if (access.audience === 'api' && isWrite && access.act === undefined) {
    throw new UndeclaredRouteError(
      `${name} changes something and names no action for the audit log: add the action to its @Requires`,
    );
  }
  return access;
}
