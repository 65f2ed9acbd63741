/** Settings of the console. */
import { section } from '@app/platform';
import { z } from 'zod';

export const consoleSettings = section('Console', {
  CONSOLE: z.enum(['on', 'off']).default('on').describe('`off`: the gateway serves no console.'),
  OIDC_CLIENT_ID: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Client id of the console at the issuer `JWT_ISSUER`. If it is set, the console offers a log-in there, with PKCE. ' +
        'The issuer must know `<address of the gateway>/console/` as a redirect address.',
    ),
  OIDC_SCOPES: z
    .string()
    .min(1)
    .default('openid')
    .describe(
      'What the console asks the issuer for, separated by spaces; the token must then carry scopes of this service.',
    ),
});

export type ConsoleSettings = z.output<z.ZodObject<typeof consoleSettings>> & { JWT_ISSUER?: string | undefined };

/** For `superRefine`. */
export function checkConsoleSettings({ OIDC_CLIENT_ID, JWT_ISSUER }: ConsoleSettings, ctx: z.RefinementCtx): void {
  if (OIDC_CLIENT_ID === undefined || (JWT_ISSUER !== undefined && URL.canParse(JWT_ISSUER))) return;
  const message = 'needs JWT_ISSUER, and an issuer that is a URL: the console logs in there';
  ctx.addIssue({ code: 'custom', path: ['OIDC_CLIENT_ID'], message });
}
