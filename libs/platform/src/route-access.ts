/** What a route asks of its caller, declared beside its handler; an app that guards its routes refuses one that says nothing. */
import { RouteConfig } from '@nestjs/platform-fastify';

export type Access =
  /** Open to all: probes. */
  | { audience: 'public' }
  /** For those who run the service, not for its callers: may be closed, or put on a port of its own. */
  | { audience: 'management' }
  /** Callers that hold the scope. `act` names what an operator does by it, for the audit log. */
  | { audience: 'api'; scope: string; act?: string };

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
}

export function RouteAccess(access: Access): MethodDecorator {
  return RouteConfig({ access });
}
