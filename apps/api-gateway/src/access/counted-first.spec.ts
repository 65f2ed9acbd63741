/** In which order a caller is counted and looked at: what costs nothing comes before what costs a signature. */
import { fastify } from 'fastify';
import { Problem } from '../http/problem.js';
import { Authenticator } from './authenticator.js';
import type { Caller } from './caller.js';
import { ListenerPolicy } from './listener-policy.js';
import { credentialsRefused } from './refusals.js';
import type { RequestLimits } from './request-limits.js';
import { guardRoutes } from './route-guard.js';

const TOKEN = 'aaa.bbb.ccc';
const caller = (id: string): Caller => ({ id, scopes: new Set(['connections:read']) });

let steps: string[];
let addressIsFull: boolean;
let tokenIsGood: boolean;

beforeEach(() => {
  steps = [];
  addressIsFull = false;
  tokenIsGood = true;
});

async function call(credentials?: string): Promise<number> {
  const limits: Pick<RequestLimits, 'none' | 'countAddress' | 'countCaller'> = {
    none: false,
    countAddress: () => {
      steps.push('address');
      return addressIsFull ? Promise.reject(new Problem('rate-limited', 'too many')) : Promise.resolve();
    },
    countCaller: ({ id }) => {
      steps.push(id);
      return Promise.resolve();
    },
  };
  const keys = { find: (key: string) => (key === 'good' ? caller('key') : undefined), isCurrent: () => true };
  const tokens = {
    verify: () => {
      steps.push('signature');
      return tokenIsGood ? Promise.resolve(caller('token')) : Promise.reject(credentialsRefused('not signed'));
    },
  };
  const app = fastify();
  const guards = {
    authenticator: new Authenticator(keys, tokens),
    listeners: new ListenerPolicy({ NODE_ENV: 'development' }),
  };
  guardRoutes(app, { ...guards, limits: limits as RequestLimits }, { closed: undefined });
  const access = { audience: 'api', scope: 'connections:read' } as const;
  app.get('/v1/things', { config: { access } }, () => 'ok');
  const headers = { host: '127.0.0.1', ...(credentials !== undefined && { authorization: `Bearer ${credentials}` }) };
  return (await app.inject({ url: '/v1/things', headers })).statusCode;
}

it('counts the address once, before it checks the signature of a token', async () => {
  expect(await call(TOKEN)).toBe(200);
  expect(steps).toEqual(['address', 'signature', 'token']);
});

it('does not check the signature of a token from an address past its limit', async () => {
  addressIsFull = true;
  expect(await call(TOKEN)).toBe(429);
  expect(steps).toEqual(['address']);
});

it('counts the address once if the token is not valid', async () => {
  tokenIsGood = false;
  expect(await call(TOKEN)).toBe(401);
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
  expect(await call('good')).toBe(200);
  expect(steps).toEqual(['address', 'key']);
  addressIsFull = true;
  expect(await call('good')).toBe(429);
});
