/** The cache of what was read. Events say when it is old, so nothing is read again by itself. */
import { ProblemError, UnreachableError } from '@cloud-connector/client';
import { QueryClient } from '@tanstack/react-query';

const RETRY_MS = 2000;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      retry: (failures, error) => isTransient(error) && failures < 1000,
      retryDelay: (_failures, error) =>
        (error instanceof ProblemError ? (error.retryAfter ?? 0) * 1000 : 0) || RETRY_MS,
    },
  },
});

/** Whether another try may succeed by itself. */
function isTransient(error: Error): boolean {
  return isOutage(error) || (error instanceof ProblemError && error.status === 429);
}

/** Whether the service cannot be reached, or not its Redis. */
export function isOutage(error: Error): boolean {
  return error instanceof ProblemError ? error.status >= 500 : error instanceof UnreachableError;
}
