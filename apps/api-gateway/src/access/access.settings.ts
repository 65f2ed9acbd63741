/** Settings of credentials, ports and rate limits, and the rules between them. */
import { isIP } from 'node:net';
import {
  integer,
  isLoopback,
  optionalInteger,
  parsed,
  readableFile,
  secureUrl,
  section,
  type CommonSettings,
} from '@app/platform';
import { z } from 'zod';
import type { LimitsASecond } from './request-limits.js';

export const accessSettings = {
  ...section('Credentials', {
    NODE_ENV: z
      .string()
      .default('development')
      .describe(
        '`production`: the gateway refuses to start without API keys or a token issuer. With any other value it ' +
          'starts without them, but listens on loopback only.',
      ),
    API_KEYS_FILE: readableFile()
      .optional()
      .describe(
        'JSON file of API keys, made by `npm run key`; read again when it changes. See ' +
          '[API keys and tokens](security.md#api-keys-and-tokens).',
      ),
    JWT_ISSUER: z
      .string()
      .optional()
      .describe('Issuer of tokens: their claim `iss`. Set it together with `JWT_AUDIENCE` and `JWT_JWKS_URL`.'),
    JWT_AUDIENCE: z.string().optional().describe('What tokens for this service carry in their claim `aud`.'),
    JWT_JWKS_URL: secureUrl('https://issuer.example.com/.well-known/jwks.json')
      .optional()
      .describe('Where the issuer publishes its public keys.'),
    JWT_ACCOUNT_CLAIM: z.string().default('account').describe('Claim that binds the caller to an account.'),
    JWT_ACCOUNT_REQUIRED: z
      .enum(['yes', 'no'])
      .default('yes')
      .describe('`yes`: a token without that claim is refused. `no`: it reaches every account.'),
  }),
  ...section('HTTP', {
    MANAGEMENT_PORT: optionalInteger(1, 65_535).describe(
      'Port for `/metrics`, and for `/docs` and `/openapi.json` unless `DOCS` is `public`, which are then served on no other ' +
        'port. Unset: they are served on `PORT`, and in production not at all.',
    ),
    TRUSTED_PROXIES: parsed('none', parseProxies).describe(
      'Addresses and networks, separated by commas, whose `X-Forwarded-For` is trusted. Set it behind a proxy: ' +
        'without it all callers count as one address.',
    ),
  }),
  ...section('Rate limits', {
    KEY_RATE_LIMIT: optionalInteger(0, 1_000_000).describe(
      'Most requests a second of one key or token subject, at all gateways together; above it 429. A request counts ' +
        'one for each ten messages of a batch, 64 KiB of a body or 100 items of a page. 0: no limit. Unset: 1000 in ' +
        'production, otherwise no limit.',
    ),
    ADDRESS_RATE_LIMIT: optionalInteger(0, 1_000_000).describe(
      'The same for one address, or one /64 of IPv6. Unset: 2000 in production, otherwise no limit.',
    ),
  }),
  ...section('Event streams', {
    EVENT_STREAMS_PER_KEY: integer(20, 1, 100_000).describe(
      'Most event streams that are open at one gateway for one key or token subject; above it 429.',
    ),
  }),
};

export type AccessSettings = z.output<z.ZodObject<typeof accessSettings>> & CommonSettings;

/** Limits in production if the settings are unset. */
const LIMITS_IN_PRODUCTION = { perKey: 1000, perAddress: 2000 };

export function limitsOf({ NODE_ENV, KEY_RATE_LIMIT, ADDRESS_RATE_LIMIT }: AccessSettings): LimitsASecond {
  const { perKey, perAddress } = NODE_ENV === 'production' ? LIMITS_IN_PRODUCTION : { perKey: 0, perAddress: 0 };
  return { perKey: KEY_RATE_LIMIT ?? perKey, perAddress: ADDRESS_RATE_LIMIT ?? perAddress };
}

/** @throws Error */
function parseProxies(text: string): string[] {
  if (text === 'none') return [];
  const proxies = text.split(',').map((one) => one.trim());
  for (const proxy of proxies) {
    const [address = '', bits = '0', ...rest] = proxy.split('/');
    const most = { 4: 32, 6: 128 }[isIP(address)];
    if (most === undefined || !/^\d{1,3}$/.test(bits) || Number(bits) > most || rest.length > 0) {
      throw new Error(
        `must be "none", or addresses and networks such as 10.0.0.0/8, separated by commas; "${proxy}" is neither`,
      );
    }
  }
  return proxies;
}

/** For `superRefine`. */
export function checkAccessSettings(settings: AccessSettings & { PORT: number }, ctx: z.RefinementCtx): void {
  const wrong = (name: string, message: string): void => ctx.addIssue({ code: 'custom', path: [name], message });
  const names = ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_JWKS_URL'] as const;
  const isSet = names.some((name) => settings[name] !== undefined);
  if (isSet) {
    for (const name of names) {
      if (settings[name] === undefined)
        wrong(name, 'must be set too: JWT_ISSUER, JWT_AUDIENCE and JWT_JWKS_URL belong together');
    }
  }
  if (settings.MANAGEMENT_PORT === settings.PORT) wrong('MANAGEMENT_PORT', 'must not be PORT');
  if (settings.API_KEYS_FILE !== undefined || isSet) return;
  if (settings.NODE_ENV === 'production') {
    wrong('API_KEYS_FILE', 'must be set with NODE_ENV=production, or JWT_ISSUER, JWT_AUDIENCE and JWT_JWKS_URL');
  } else if (!isLoopback(settings.HOST)) {
    wrong(
      'HOST',
      'must be loopback if neither API_KEYS_FILE nor JWT_ISSUER is set: without credentials everybody could use the API',
    );
  }
}
