/** Who uses this page, and with which client. */
import type { CloudConnector } from '@cloud-connector/client';
import { createContext, use } from 'react';
import type { Scope } from './scopes.js';

export interface Caller {
  id: string;
  /** null: the caller reaches every account. */
  account: string | null;
  scopes: string[];
}

export interface Access {
  connector: CloudConnector;
  caller: Caller;
  can: (scope: Scope) => boolean;
  /** Whether requests carry a key or a token. */
  hasKey: boolean;
  logOut: () => void;
}

export const AccessContext = createContext<Access | undefined>(undefined);

export function useAccess(): Access {
  const access = use(AccessContext);
  if (access === undefined) throw new Error('useAccess is used outside of AccessGate');
  return access;
}
