/** The order in which a guard counts and authenticates a caller: what costs little comes before the check of a signature. */
import { fastify } from 'fastify';
import type { Redis } from '@app/platform';
import { startIssuer, type Issuer } from '../../../../test/security/support/issuer.js';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { ApiKeys, mintKey } from './api-keys.js';
import { Authenticator } from './authenticator.js';
import type { Caller } from './caller.js';
import { ListenerPolicy } from './listener-policy.js';
import { RequestLimits } from './request-limits.js';
import { guardRoutes } from './route-guard.js';
import { Tokens } from './tokens.js';

const { key, entry } = mintKey({ id: 'good', scopes: ['connections:read'] });

let redis: Redis;
let issuer: Issuer;
let steps: string[];
let prefix: string;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer.stop());

beforeEach(() => {
  steps = [];
  prefix = `counted${keySpaces++}`;
});

class RecordedLimits extends RequestLimits {
  override countAddress(address: string): ReturnType<RequestLimits['countAddress']> {
    steps.push('address');
    return super.countAddress(address);
  }

  override countCaller(caller: Caller): ReturnType<RequestLimits['countCaller']> {
    steps.push(caller.id);
    return super.countCaller(caller);
  }
}

class RecordedTokens extends Tokens {
  override verify(token: string): Promise<Caller> {
    steps.push('signature');
    return super.verify(token);
  }
}

/** The address of the caller has used up its limit for a minute. */
async function exhaustAddress(): Promise<void> {
  await redis.set(`${prefix}:address:127.0.0.1`, '100 0', 'PX', 60_000);
}

async function call(credentials?: string): Promise<number> {
  const { JWT_ISSUER = '', JWT_AUDIENCE = '', JWT_JWKS_URL = '' } = issuer.settings;
  const about = { issuer: JWT_ISSUER, audience: JWT_AUDIENCE, jwksUrl: JWT_JWKS_URL };
  const tokens = new RecordedTokens({ ...about, accountClaim: 'account', accountRequired: false });
  const app = fastify();
  const guards = {
    authenticator: new Authenticator(new ApiKeys([entry]), tokens),
    limits: new RecordedLimits(redis, prefix, { perKey: 100, perAddress: 100 }, quiet),
    listeners: new ListenerPolicy({ NODE_ENV: 'development' }),
  };
  guardRoutes(app, guards, { closed: undefined });
  const access = { audience: 'api', scope: 'connections:read' } as const;
  app.get('/v1/things', { config: { access } }, () => 'ok');
  const headers = { host: '127.0.0.1', ...(credentials !== undefined && { authorization: `Bearer ${credentials}` }) };
  return (await app.inject({ url: '/v1/things', headers })).statusCode;
}

describe('guardRoutes', () => {
  it('counts the address once, before it checks the signature of a token', async () => {
    expect(await call(await issuer.sign({}))).toBe(200);
    expect(steps).toEqual(['address', 'signature', 'token:somebody']);
  });

  it('does not check the signature of a token from an address past its limit', async () => {
    await exhaustAddress();
    expect(await call(await issuer.sign({}))).toBe(429);
    expect(steps).toEqual(['address']);
  });

  it('counts the address once if the token is not valid', async () => {
    expect(await call(await issuer.sign({ aud: 'another' }))).toBe(401);
    expect(steps).toEqual(['address', 'signature']);
  });

  it.each([['nothing', undefined] as const, ['an unknown key', 'bad'] as const])(
    'counts the address of a caller that presents %s',
    async (_, credentials) => {
      expect(await call(credentials)).toBe(401);
      expect(steps).toEqual(['address']);
    },
  );

  it('counts address and key together if the API key is valid', async () => {
    expect(await call(key)).toBe(200);
    expect(steps).toEqual(['address', 'key:good']);
    await exhaustAddress();
    // Each call is of a gateway of its own, which has leased nothing.
    expect(await call(key)).toBe(429);
  });
});
