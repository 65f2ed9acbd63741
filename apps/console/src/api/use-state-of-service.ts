/** The two reads that several views share, and what they say of the service as a whole. */
import type { Cluster, Stats } from '@cloud-connector/client';
import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import { useAccess } from './access.js';
import { isOutage } from './queries.js';

/** Ages, mailboxes and the memory of Redis change without an event. */
const REFRESH_MS = 5000;

export function useStats(): UseQueryResult<Stats> {
  const { connector, can } = useAccess();
  return useQuery({
    queryKey: ['stats'],
    queryFn: ({ signal }) => connector.getStats({ signal }),
    refetchInterval: REFRESH_MS,
    enabled: can('connections:read'),
  });
}

export function useCluster(): UseQueryResult<Cluster> {
  const { connector, can } = useAccess();
  return useQuery({
    queryKey: ['cluster'],
    queryFn: ({ signal }) => connector.getCluster({ signal }),
    refetchInterval: REFRESH_MS,
    enabled: can('cluster:read'),
  });
}

/**
 * Why a view cannot be read. If it has data, an outage of the whole service is said once, above all views, to those who may read its
 * state.
 */
export function useFailure(
  { error, failureReason }: Pick<UseQueryResult, 'error' | 'failureReason'>,
  data: unknown,
): Error | null {
  const { can } = useAccess();
  const failure = error ?? failureReason;
  const isReported = data !== undefined && failure !== null && isOutage(failure) && can('connections:read');
  return isReported ? null : failure;
}

/** Why the service cannot be read at the moment, and when it could be read last. */
export function useOutage(): { error: Error; readAt: string | undefined } | undefined {
  const { error, failureReason, dataUpdatedAt } = useStats();
  const failure = error ?? failureReason;
  if (failure === null) return undefined;
  return { error: failure, readAt: dataUpdatedAt === 0 ? undefined : new Date(dataUpdatedAt).toISOString() };
}
