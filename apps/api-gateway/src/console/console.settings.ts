/** Settings of the console. */
import { section, secureUrl } from '@app/platform';
import { z } from 'zod';

export const consoleSettings = section('Console', {
  CONSOLE: z.enum(['on', 'off']).default('on').describe('`off`: the gateway serves no console.'),
  OIDC_CLIENT_ID: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Client id of the console at the issuer `JWT_ISSUER`. If it is set, the console offers a log-in there, with PKCE. ' +
        'The issuer must know `<address of the gateway>/console/` as a redirect address, and allow this address by CORS.',
    ),
  OIDC_SCOPES: z
    .string()
    .min(1)
    .default('openid')
    .describe(
      'What the console asks the issuer for, separated by spaces: `openid`, and what makes the token carry scopes of this service.',
    ),
});

export type ConsoleSettings = z.output<z.ZodObject<typeof consoleSettings>> & { JWT_ISSUER?: string | undefined };

/** What a browser can log in at. */
const Issuer = secureUrl('https://issuer.example.com');

/** For `superRefine`. */
export function checkConsoleSettings(settings: ConsoleSettings, ctx: z.RefinementCtx): void {
  const { OIDC_CLIENT_ID, OIDC_SCOPES, JWT_ISSUER } = settings;
  if (OIDC_CLIENT_ID === undefined) return;
  const wrong = (name: string, message: string): void => ctx.addIssue({ code: 'custom', path: [name], message });
  if (!Issuer.safeParse(JWT_ISSUER).success) {
    wrong(
      'OIDC_CLIENT_ID',
      'needs JWT_ISSUER, an issuer at https://…, or at http:// on loopback: the console logs in there',
    );
  }
  if (!OIDC_SCOPES.split(' ').includes('openid')) {
    wrong('OIDC_SCOPES', 'must contain openid: without it the issuer does not say who has logged in');
  }
}
