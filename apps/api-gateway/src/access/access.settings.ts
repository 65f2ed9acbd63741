/** Settings that say who may call, and what they ask of each other. */
import { readableFile, url } from '@app/platform';
import { z } from 'zod';
import { isLoopback } from './same-site.js';

export const accessSettings = {
  /** `production` refuses what is only fit for a developer's own machine. */
  NODE_ENV: z.string().default('development'),
  /** JSON file of API keys, made by `npm run key`; read again when it changes. */
  API_KEYS_FILE: readableFile().optional(),
  /** Who issues tokens: their claim `iss`. */
  JWT_ISSUER: z.string().optional(),
  /** What tokens for this service name in their claim `aud`. */
  JWT_AUDIENCE: z.string().optional(),
  /** Where the issuer publishes its keys. */
  JWT_JWKS_URL: url('https://issuer.example.com/.well-known/jwks.json', 'https', 'http').optional(),
  /** Claim that binds the caller to an account. */
  JWT_ACCOUNT_CLAIM: z.string().default('account'),
  /** `no`: a token without that claim reaches every account. */
  JWT_ACCOUNT_REQUIRED: z.enum(['yes', 'no']).default('yes'),
};

export type AccessSettings = z.output<z.ZodObject<typeof accessSettings>>;

/** For `superRefine`. */
export function accessSettingsFit(settings: AccessSettings & { HOST: string }, ctx: z.RefinementCtx): void {
  const wrong = (name: string, message: string): void => ctx.addIssue({ code: 'custom', path: [name], message });
  const names = ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_JWKS_URL'] as const;
  const given = names.filter((name) => settings[name] !== undefined);
  if (given.length > 0) {
    for (const name of names) {
      if (settings[name] === undefined) wrong(name, 'must be set too: issuer, audience and keys belong together');
    }
  }
  const keysUrl = settings.JWT_JWKS_URL === undefined ? undefined : new URL(settings.JWT_JWKS_URL);
  if (keysUrl?.protocol === 'http:' && !isLoopback(keysUrl.host)) {
    wrong('JWT_JWKS_URL', 'must be https://…, or somebody on the way could put in keys of their own');
  }
  if (settings.API_KEYS_FILE !== undefined || given.length > 0) return;
  if (settings.NODE_ENV === 'production') {
    wrong('API_KEYS_FILE', 'must be set with NODE_ENV=production, or JWT_ISSUER, JWT_AUDIENCE and JWT_JWKS_URL');
  } else if (!isLoopback(settings.HOST)) {
    wrong('HOST', 'must be loopback where neither API_KEYS_FILE nor JWT_ISSUER is set: anybody could call');
  }
}
