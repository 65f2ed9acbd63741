import { toCallerBody } from './caller.dto.js';
import { ANONYMOUS } from './caller.js';
import { SCOPES, type Scope } from './scopes.js';

const scopesOf = (account: string | undefined, ...scopes: Scope[]): Scope[] =>
  toCallerBody({ id: 'key:a', scopes: new Set(scopes), ...(account !== undefined && { account }) }).scopes;

describe('the caller as the API shows it', () => {
  it('has its id and its account, which is null if it reaches every account', () => {
    const caller = { id: 'key:billing', scopes: new Set<Scope>(['messages:read']) };
    expect(toCallerBody(caller)).toEqual({ id: 'key:billing', account: null, scopes: ['messages:read'] });
    expect(toCallerBody({ ...caller, account: 'a' }).account).toBe('a');
  });

  it('has the scopes that its scopes contain', () => {
    expect(scopesOf(undefined, 'cluster:manage')).toEqual(['cluster:read', 'cluster:manage']);
    expect(scopesOf(undefined, 'cluster:read')).toEqual(['cluster:read']);
  });

  it('lacks the scopes that are of no use to a caller with an account', () => {
    expect(scopesOf('a', 'cluster:manage', 'events:read')).toEqual(['events:read']);
  });

  it('has every scope if no credentials are required', () => {
    expect(toCallerBody(ANONYMOUS)).toEqual({ id: 'anybody', account: null, scopes: [...SCOPES] });
  });
});
