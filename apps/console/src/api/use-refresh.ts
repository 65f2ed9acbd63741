import { useQueryClient, type QueryKey } from '@tanstack/react-query';
import { useThrottled } from './use-throttled.js';

/** @returns a function that reads again what is shown of these, at most once in the time */
export function useRefresh(queryKeys: readonly QueryKey[], ms: number): () => void {
  const queries = useQueryClient();
  return useThrottled(() => {
    for (const queryKey of queryKeys) void queries.invalidateQueries({ queryKey });
  }, ms);
}
