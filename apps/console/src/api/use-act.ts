import { useMutation, useQueryClient, type UseMutationResult } from '@tanstack/react-query';
import { useAccess } from './access.js';
import type { Act } from './acts.js';

/** Runs actions, then reads again what is shown. `Answer`: the body of the response. */
export function useAct<Answer = unknown>(): UseMutationResult<Answer, Error, Act> {
  const { connector } = useAccess();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ method, url, ...parts }: Act) => connector.request<Answer>(method, url, parts),
    onSettled: () => queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'whoami' }),
  });
}
