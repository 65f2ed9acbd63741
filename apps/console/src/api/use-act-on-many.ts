/** Runs one action for each of many connections, a few at a time, and counts what became of them. */
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useAccess } from './access.js';
import type { Act } from './acts.js';
import { reasonOf } from './reason.js';

export interface ManyState {
  total: number;
  done: number;
  failures: { name: string; reason: string }[];
}

export interface NamedAct {
  /** Whom it is for. */
  name: string;
  act: Act;
}

const AT_ONCE = 4;

export interface ActOnMany {
  state: ManyState | undefined;
  run: (acts: readonly NamedAct[]) => Promise<void>;
  reset: () => void;
}

export function useActOnMany(): ActOnMany {
  const { connector } = useAccess();
  const queries = useQueryClient();
  const [state, setState] = useState<ManyState>();

  const runOne = async ({ name, act: { method, url, ...parts } }: NamedAct): Promise<void> => {
    let failure: ManyState['failures'] = [];
    try {
      await connector.request(method, url, parts);
    } catch (error) {
      failure = [{ name, reason: reasonOf(error) }];
    }
    setState((before) => before && { ...before, done: before.done + 1, failures: [...before.failures, ...failure] });
  };

  const run = async (acts: readonly NamedAct[]): Promise<void> => {
    setState({ total: acts.length, done: 0, failures: [] });
    const waiting = acts.values();
    const worker = async (): Promise<void> => {
      for (const one of waiting) await runOne(one);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'whoami' });
  };

  return { state, run, reset: () => setState(undefined) };
}
