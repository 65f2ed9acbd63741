/** Who uses this page, and with which client. */
import type { Caller, CloudConnector } from '@cloud-connector/client';
import { createContext, use } from 'react';

export type Scope = Caller['scopes'][number];

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
