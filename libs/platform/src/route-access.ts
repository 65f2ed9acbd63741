/** Who may call a route, declared at its handler. An app that guards its routes refuses a route without a declaration. */
import { RouteConfig } from '@nestjs/platform-fastify';

export type Access =
  /** Open to everybody, for probes. */
  | { audience: 'public' }
  /** Open to everybody, on the port of the API: pages that use it, and their files. */
  | { audience: 'page' }
  /** For operators of the service: it can be disabled, or served on a separate port. */
  | { audience: 'management' }
  /** For callers that hold the scope; null: for all callers. `act`: name of the operator's action in the audit log. */
  | { audience: 'api'; scope: string | null; act?: string };

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
}

export function RouteAccess(access: Access): MethodDecorator {
  return RouteConfig({ access });
}
