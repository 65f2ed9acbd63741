/** The caller as the REST API shows it. */
import { z } from 'zod';
import type { Caller } from './caller.js';
import { SCOPES, includesScope, isClusterScope } from './scopes.js';

const ScopeValue = z.enum(SCOPES).meta({ id: 'Scope', description: 'What a caller may do.' });

export const CallerBody = z
  .object({
    id: z.string().meta({
      description:
        '`key:` and the id of the API key, `token:` and the subject of the token, or `anybody` if the gateway requires no ' +
        'credentials.',
      example: 'key:billing',
    }),
    account: z.string().nullable().meta({
      description: 'The account that the caller is bound to; null: it reaches every account.',
    }),
    scopes: z.array(ScopeValue).meta({
      description:
        'What the caller may do: its scopes, and those that they contain. A caller of an account cannot use the cluster.',
    }),
  })
  .meta({ id: 'Caller', description: 'Whose credentials a request has.' });
export type CallerBody = z.infer<typeof CallerBody>;

export function toCallerBody({ id, account, scopes }: Caller): CallerBody {
  return {
    id,
    account: account ?? null,
    scopes: SCOPES.filter((scope) => includesScope(scopes, scope) && (account === undefined || !isClusterScope(scope))),
  };
}
