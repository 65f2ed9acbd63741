import { z } from 'zod';
import { checkConsoleSettings, consoleSettings } from './console.settings.js';

const schema = z.object({ ...consoleSettings, JWT_ISSUER: z.string().optional() }).superRefine(checkConsoleSettings);

/** The variables that are refused. */
function refused(env: Record<string, string>): unknown[] {
  return schema.safeParse(env).error?.issues.map(({ path }) => path[0]) ?? [];
}

const ISSUER = 'https://issuer.example.com/realm';

it.each<[Record<string, string>]>([
  [{}],
  [{ OIDC_SCOPES: 'connections:read' }],
  [{ OIDC_CLIENT_ID: 'console', JWT_ISSUER: ISSUER }],
  [{ OIDC_CLIENT_ID: 'console', JWT_ISSUER: ISSUER, OIDC_SCOPES: 'connections:read openid' }],
  [{ OIDC_CLIENT_ID: 'console', JWT_ISSUER: 'http://127.0.0.1:8080' }],
])('accepts %j', (env) => {
  expect(refused(env)).toEqual([]);
});

it.each<[Record<string, string>, string]>([
  [{}, 'OIDC_CLIENT_ID'],
  [{ JWT_ISSUER: 'issuer' }, 'OIDC_CLIENT_ID'],
  [{ JWT_ISSUER: 'http://issuer.example.com' }, 'OIDC_CLIENT_ID'],
  [{ JWT_ISSUER: ISSUER, OIDC_SCOPES: 'connections:read' }, 'OIDC_SCOPES'],
  [{ JWT_ISSUER: ISSUER, OIDC_SCOPES: 'openid-connect' }, 'OIDC_SCOPES'],
])('refuses a log-in with %j', (env, name) => {
  expect(refused({ OIDC_CLIENT_ID: 'console', ...env })).toEqual([name]);
});
